import { LogBuffer } from './buffer';

const texts = (buffer: LogBuffer): (string | undefined)[] =>
  Array.from({ length: buffer.length }, (_, at) => buffer.at(at)?.text);

describe('lines that overwrite themselves', () => {
  it('show their last state while they are still written', () => {
    const buffer = new LogBuffer();
    buffer.push(1, ' 10 %\r 20 %');
    expect(texts(buffer)).toEqual([' 20 %']);
    buffer.push(1, '\r');
    expect(texts(buffer)).toEqual([' 20 %']);
    buffer.push(1, ' 30 %');
    expect(texts(buffer)).toEqual([' 30 %']);
    buffer.push(1, '\r\n');
    expect(texts(buffer)).toEqual([' 30 %']);
  });

  it('stay one line, however often they do', () => {
    const buffer = new LogBuffer();
    for (let at = 0; at <= 5000; at++) {
      buffer.push(2, `\rstep ${at}`);
    }
    expect(texts(buffer)).toEqual(['step 5000']);
  });

  it.each(['\r\n', '\r\r\n', '\n'])('keep their text before the line end %j', end => {
    const buffer = new LogBuffer();
    buffer.push(1, `a${end}`);
    expect(texts(buffer)).toEqual(['a']);
  });
});

describe('whatever the pieces', () => {
  it('the lines are the same', () => {
    const text = 'one\ntwo\r\nbar 1\rbar 2\rbar 3\n\n日本 😀\nrest\rREST';
    const whole = new LogBuffer();
    whole.push(1, text);
    for (let size = 1; size < 9; size++) {
      const buffer = new LogBuffer();
      for (let at = 0; at < text.length; at += size) {
        buffer.push(1, text.slice(at, at + size));
      }
      expect(texts(buffer)).toEqual(texts(whole));
    }
  });

  it('no line is longer than the limit, and none of a long one is lost', () => {
    const buffer = new LogBuffer();
    buffer.push(1, 'x'.repeat(10_000));
    buffer.push(1, `${'y'.repeat(10_000)}\n`);
    expect(Math.max(...texts(buffer).map(text => text?.length ?? 0))).toBeLessThanOrEqual(4096);
    expect(texts(buffer).join('')).toBe('x'.repeat(10_000) + 'y'.repeat(10_000));
  });
});

describe('the size of a buffer', () => {
  it.each([0, -1, NaN, 0.5, undefined as unknown as number])('of %p still keeps a line', limit => {
    const buffer = new LogBuffer(limit);
    buffer.push(1, 'a\nb\n');
    expect(buffer.at(buffer.length - 1)?.text).toBe('b');
  });

  it('keeps positions right after many rounds', () => {
    const buffer = new LogBuffer(7);
    for (let at = 0; at < 1000; at++) {
      buffer.push(1, `${at}\n`);
    }
    expect(texts(buffer)).toEqual(['993', '994', '995', '996', '997', '998', '999']);
    expect(buffer.dropped).toBe(993);
    expect(buffer.find('99')).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect([buffer.at(-1), buffer.at(7), buffer.at(8), buffer.at(NaN)]).toEqual([
      undefined,
      undefined,
      undefined,
      undefined
    ]);
  });

  it('begins anew when it is cleared', () => {
    const buffer = new LogBuffer(2);
    buffer.push(1, 'a\nb\nc\nrest');
    buffer.clear();
    buffer.push(1, 'd\n');
    expect([texts(buffer), buffer.dropped]).toEqual([['d'], 0]);
  });
});

it('a search takes what is typed as text, not as a pattern', () => {
  const buffer = new LogBuffer();
  buffer.push(1, 'a.b\naxb\n(.*)\nÄRGER\n');
  expect(buffer.find('.')).toEqual([0, 2]);
  expect(buffer.find('(.*)')).toEqual([2]);
  expect(buffer.find('ärger')).toEqual([3]);
});
