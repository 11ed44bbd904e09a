import { trans } from './words';

describe('text with values in it', () => {
  it('takes each value once, where its number stands', () =>
    expect(trans.__('%2 of %1, %2', 'a', 'b')).toBe('b of a, b'));

  it.each(['%2', '$&', '$1', '\\', '%%', '__proto__'])('takes the value %j as it is', value =>
    expect(trans.__('<%1|%2>', value, 'x')).toBe(`<${value}|x>`)
  );

  it('leaves a number without a value, and says nothing, zero and empty as they are', () => {
    expect(trans.__('%1 %3', 'a')).toBe('a %3');
    expect(trans.__('%1|%2', 0, '')).toBe('0|');
    expect(trans.__('100 % %')).toBe('100 % %');
  });

  it.each([
    [1, '1 job'],
    [0, '0 jobs'],
    [2, '2 jobs']
  ])('counts %d', (count, text) => expect(trans._n('%1 job', '%1 jobs', count, count)).toBe(text));
});
