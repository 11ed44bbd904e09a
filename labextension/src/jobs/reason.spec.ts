import { askAgain, EVERY_MS, summaryOf } from './reason';

describe('the reason of a job that waits', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn += 1) {
      await Promise.resolve();
    }
  };

  it('is one readable line, and empty where none came', () => {
    expect(summaryOf({ Summary: 'waiting for 1 CPU\u202e' })).toBe('waiting for 1 CPU\\u202e');
    expect(summaryOf({ Summary: 7 as unknown as string })).toBe('');
    expect(summaryOf(null)).toBe('');
  });

  it('is asked for again only after an answer and a pause', async () => {
    let asked = 0;
    const ask = jest.fn((_signal: AbortSignal) => Promise.resolve(++asked));
    const answers: number[] = [];
    const stop = askAgain(ask, answer => answers.push(answer));
    await settle();
    expect(answers).toEqual([1]);
    jest.advanceTimersByTime(EVERY_MS - 1);
    await settle();
    expect(ask).toHaveBeenCalledTimes(1);
    jest.advanceTimersByTime(1);
    await settle();
    expect(answers).toEqual([1, 2]);
    stop();
    jest.advanceTimersByTime(10 * EVERY_MS);
    await settle();
    expect(ask).toHaveBeenCalledTimes(2);
    expect(ask.mock.calls[1]?.[0].aborted).toBe(true);
  });

  it('outlives a failure', async () => {
    const ask = jest.fn().mockRejectedValueOnce(new Error('gone')).mockResolvedValue('back');
    const take = jest.fn();
    const stop = askAgain(ask, take);
    await settle();
    expect(take).not.toHaveBeenCalled();
    jest.advanceTimersByTime(EVERY_MS);
    await settle();
    expect(take).toHaveBeenCalledWith('back');
    stop();
  });

  it('that comes too late is dropped', async () => {
    const take = jest.fn();
    askAgain(() => Promise.resolve('late'), take)();
    await settle();
    expect(take).not.toHaveBeenCalled();
  });
});
