import { isJobCell, LOAD, loadIntoKernel, loadsMagics, switched } from './magic';
import { placeOf } from './place';

const FLAG = "-i 'a b'";

function put(source: string, line: number, column: number): string {
  const place = placeOf(source, { line, column }, FLAG);
  const lines = source.split('\n');
  const old = lines[place.line] ?? '';
  lines[place.line] = old.slice(0, place.column) + place.text + old.slice(place.column);
  return lines.join('\n');
}

describe('a flag', () => {
  it.each<[string, number, number, string]>([
    ['%%bacalhau sh\nls', 1, 1, `%%bacalhau sh ${FLAG}\nls`],
    ['%%bacalhau sh \nls', 1, 0, `%%bacalhau sh ${FLAG}\nls`],
    ["%%bacalhau sh --name 'x y'", 0, 22, `%%bacalhau sh --name 'x y' ${FLAG}`],
    ['%%bacalhau docker ubuntu -- ls', 0, 30, `%%bacalhau docker ${FLAG} ubuntu -- ls`],
    ['%%bacalhau sh -- a', 0, 18, `%%bacalhau sh ${FLAG} -- a`],
    ['%bacalhau docker run ubuntu ls', 0, 30, `%bacalhau docker run ${FLAG} ubuntu ls`],
    ['!bacalhau docker run', 0, 3, `!bacalhau docker run ${FLAG}`],
    ['', 0, 0, FLAG],
    ['x = ', 0, 4, `x = ${FLAG}`],
    ['print(x)', 0, 8, `print(x) ${FLAG}`],
    ['a', 9, 9, `a ${FLAG}`]
  ])('in %j at %d:%d has a sensible place, and spaces', (source, line, column, result) =>
    expect(put(source, line, column)).toBe(result)
  );
});

describe('the first line of a cell', () => {
  it.each<[string, string | null]>([
    ['print(1)', '%%bacalhau python\nprint(1)'],
    ['', '%%bacalhau python\n'],
    ['%%bacalhau python\nprint(1)', 'print(1)'],
    ['%%bacalhau python -i x\nprint(1)', 'print(1)'],
    ['%%bacalhau', ''],
    ['%%bash\nls', null],
    ['%%bacalhaux\nls', null]
  ])('of %j is switched to %j', (source, result) => expect(switched(source)).toBe(result));

  it('there and back is the same', () => {
    const source = 'import os\n\nos.getcwd()\n';
    expect(switched(switched(source) ?? '')).toBe(source);
    expect(isJobCell(switched(source) ?? '')).toBe(true);
  });
});

it('a notebook loads the magics wherever the line stands', () => {
  expect(loadsMagics(['x', 'import a\n%load_ext bacalhau_jupyter'])).toBe(true);
  expect(loadsMagics(['%load_ext bacalhau_jupyter_other', ''])).toBe(false);
});

it('a kernel that comes after the button was pressed loads the magics too', async () => {
  const codes: string[] = [];
  const place: {
    ready: Promise<void>;
    session?: { kernel: { requestExecute(it: { code: string }): void } };
  } = {
    ready: Promise.resolve().then(() => {
      place.session = { kernel: { requestExecute: it => void codes.push(it.code) } };
    })
  };
  await loadIntoKernel(place);
  expect(codes).toEqual([LOAD]);
});
