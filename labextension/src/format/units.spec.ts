import { age, bytes, duration, hostOf, share, shortId } from './units';

/** Sizes and spans on both sides of every change of unit. */
const around = (borders: readonly number[]): number[] =>
  borders.flatMap(border => [border * 0.98, border * 0.999, border, border * 1.001, border * 1.02]);

describe('bytes', () => {
  it('never goes down, nor shows more than four digits, while the number goes up', () => {
    const values = around(
      [1, 9.95, 99.5, 999.5].flatMap(top => [0, 1, 2, 3, 4].map(power => top * 1000 ** power))
    );
    const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    const sizes = values
      .sort((a, b) => a - b)
      .map(value => {
        const [number = '', unit = ''] = bytes(value).split(' ');
        expect(number.replace('.', '').length).toBeLessThanOrEqual(3);
        return Number(number) * 1000 ** units.indexOf(unit);
      });
    expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
  });

  it.each([NaN, Infinity, -Infinity, -1, '12' as unknown as number, null as unknown as number])(
    'says of %p only that it is no size',
    value => expect(bytes(value)).toBe('?')
  );

  it('has nothing above petabytes', () => expect(bytes(5e18)).toBe('5000 PB'));
});

describe('duration', () => {
  it.each([
    [0, '0.0 s'],
    [99, '0.0 s'],
    [9_949, '9.9 s'],
    [9_999, '9.9 s'],
    [10_000, '10 s'],
    [59_999, '59 s'],
    [60_000, '1:00'],
    [3_599_999, '59:59'],
    [3_600_000, '1:00:00'],
    [86_399_999, '23:59:59'],
    [86_400_000, '1 d 0 h'],
    [400 * 86_400_000, '400 d 0 h']
  ])('says %d ms as %s', (ms, text) => expect(duration(ms)).toBe(text));

  it.each([-1, -0.001, NaN, Infinity, 1e308 * 1000])('says nothing of %p', ms =>
    expect(duration(ms)).toBe('')
  );
});

describe('the node of a Docker host', () => {
  const own = 'n-761f5690-d9cb-416a-be49-a0a336e0a202';

  it.each(['gpu1', 'gpu-box_2', '7'])('has the name %s', name => {
    expect(hostOf(`${own}-${name}`)).toBe(name);
    expect(shortId(`${own}-${name}`)).toBe(name);
  });

  it.each(['', '-', '-GPU', '-<b>x</b>', '-\u202egpu', `-${'a'.repeat(41)}`, '-a-'])(
    'is no node whose ID goes on with %j',
    rest => {
      expect(hostOf(own + rest)).toBe('');
      expect(shortId(own + rest)).toBe('n-761f5690');
    }
  );
});

describe('share', () => {
  it.each([
    [120e6, 253e6, '120/253 MB'],
    [0, 1500, '0 B/1.5 kB'],
    [5000, 5000, '5.0/5.0 kB']
  ])('says %d of %d as %s', (done, total, text) => expect(share(done, total)).toBe(text));
});

describe('shortId', () => {
  it.each([
    ['j-761f5690-aaaa-bbbb', 'j-761f5690'],
    ['n-761f5690-', 'n-761f5690'],
    ['j-761f5690', 'j-761f5690'],
    ['j-761F5690-x', 'j-761F5690-x'],
    ['../j-761f5690-x', '../j-761f5690-x'],
    ['__proto__', '__proto__'],
    ['', ''],
    ['a\u202eb\n', 'a\\u202eb\\n']
  ])('makes of %j %j', (id, text) => expect(shortId(id)).toBe(text));
});

it.each([
  [-5, '0 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [3_599_999, '59 min'],
  [3_600_000, '1 h'],
  [86_400_000 * 400, '400 d'],
  [NaN, '']
])('an age of %d ms is %j', (ms, text) => expect(age(ms)).toBe(text));
