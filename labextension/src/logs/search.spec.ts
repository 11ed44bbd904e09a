import { matchAt, stepped } from './search';

describe('stepping through matches', () => {
  it('goes round both ways', () => {
    expect([stepped([4, 7, 9], 2, 1), stepped([4, 7, 9], 0, -1), stepped([4], 0, 1)]).toEqual([0, 2, 0]);
  });

  it('starts from the last one when there are fewer than before', () => {
    expect(matchAt([4, 7], 9)).toBe(1);
    expect([stepped([4, 7], 9, -1), stepped([4, 7], 9, 1)]).toEqual([0, 0]);
  });

  it('stays where there is none', () =>
    expect([stepped([], 5, 1), stepped([], 5, -1), matchAt([], 5)]).toEqual([0, 0, -1]));
});
