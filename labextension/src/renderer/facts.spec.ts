import { ApiError } from '../api/errors';
import { trans } from '../page/words';
import { entryOf } from '../store/state';
import { factsOf, reasons, wantsLog } from './facts';
import { IRecord, readRecord } from './record';

const record = (more: object = {}): IRecord =>
  readRecord({ job_id: 'j', endpoint: 'http://a', ...more }) as IRecord;

describe('the facts of an output', () => {
  const stored = record({ state: 'Running', phase: 'fetching', node: 'n-old', exit_code: 3, error: 'boom' });

  it('are those of the record while nobody was asked', () =>
    expect(factsOf(stored, undefined)).toEqual({
      state: 'Running',
      phase: 'fetching',
      node: 'n-old',
      code: 3,
      message: 'boom',
      exitedBadly: false
    }));

  it('are those of the cluster as far as it says them', () => {
    const live = {
      ...entryOf({ ID: 'j', State: { StateType: 'Completed' } }),
      node: 'n-new',
      executions: []
    };
    expect(factsOf(stored, live)).toEqual({
      state: 'Completed',
      phase: '',
      node: 'n-new',
      code: 0,
      message: '',
      exitedBadly: false
    });
  });

  it('say nothing of an end that the cluster was not asked for yet', () => {
    const ended = record({ state: 'Completed', phase: 'completed' });
    const live = entryOf({ ID: 'j', State: { StateType: 'Running' } });
    expect(factsOf(ended, live)).toMatchObject({ state: 'Running', phase: '' });
  });

  it('call an exit code other than 0 a failure, with the last word of the program', () => {
    const details = { ExitCode: '3', Error: 'the disk is on fire', Outcome: 'failed' };
    const live = entryOf({ ID: 'j', State: { StateType: 'Completed', Details: details } });
    expect(factsOf(record({ state: 'Running' }), live)).toMatchObject({
      state: 'Completed',
      code: 3,
      message: 'the disk is on fire',
      exitedBadly: true
    });
    expect(factsOf(record({ state: 'Completed', exit_code: 3, error: 'x' }), undefined)).toMatchObject({
      message: 'x',
      exitedBadly: true
    });
  });

  it.each(['Completed', 'Failed'])(
    'leave the words of a job that is %s to the cell that followed it',
    state => {
      const details = { ExitCode: '3', Error: 'the disk is on fire' };
      const live = entryOf({
        ID: 'j',
        State: { StateType: state as 'Completed', Message: 'no node fits', Details: details }
      });
      const message = (more: object): string =>
        factsOf(record({ state, exit_code: 3, ...more }), live).message;
      expect(message({ followed: true })).toBe('');
      expect(message({ followed: true, detached: true })).not.toBe('');
      expect(message({ followed: true, state: 'Running' })).not.toBe('');
      expect(message({})).not.toBe('');
    }
  );

  it.each(['', 'x', '1e3', '99999999999', '0'])('take %j for no failure', code => {
    const live = entryOf({ ID: 'j', State: { StateType: 'Completed', Details: { ExitCode: code } } });
    expect(factsOf(record(), live)).toMatchObject({ code: 0, exitedBadly: false });
  });

  it('say why a job waits in place of its phase and the official message', () => {
    const live = entryOf({ ID: 'j', State: { StateType: 'Queued', Message: 'not enough nodes' } });
    const reason = 'waiting for 1 CPU; `hog2` holds it, node has 2';
    expect(factsOf(record(), live, reason)).toMatchObject({ phase: reason, message: '' });
    expect(factsOf(record(), live)).toMatchObject({ message: 'not enough nodes' });
  });

  it('say what the node said of a job that no node took, not how many nodes there are', () => {
    const Message =
      'not enough nodes to run job. requested: 1, available: 1, suitable: 0.\n• Node n-1: no such image';
    const Details = { Outcome: 'failed', Error: 'no such image' };
    const live = entryOf({ ID: 'j', State: { StateType: 'Failed', Message, Details } });
    expect(factsOf(record(), live)).toMatchObject({ message: 'no such image' });
  });

  it('hold no phase that says what the state says', () =>
    expect(factsOf(record({ state: 'Running', phase: 'running' }), undefined).phase).toBe(''));
});

describe('the log in a card', () => {
  it('is there when the cell missed some of the output', () => {
    expect(wantsLog(record({ state: 'Running', followed: true }), false)).toBe(true);
    expect(wantsLog(record({ state: '', followed: true }), false)).toBe(true);
    expect(wantsLog(record({ state: 'Running', followed: true, detached: true }), true)).toBe(true);
  });

  it('is not there while the cell prints, nor when it printed all, nor when it never does', () => {
    expect(wantsLog(record({ state: 'Running', followed: true }), true)).toBe(false);
    expect(wantsLog(record({ state: 'Completed', followed: true }), false)).toBe(false);
    expect(wantsLog(record({ state: 'Running' }), false)).toBe(false);
  });
});

describe('why an output is not live', () => {
  it('is nothing when it is', () => {
    expect(reasons(record(), { kind: 'found', job: { ID: 'j' } }, trans)).toEqual([]);
    expect(reasons(record(), { kind: 'asking' }, trans)).toEqual([]);
  });

  it('is said for each reason, with both clusters spelled out', () => {
    const hostile = record({ endpoint: 'http://\u202ea' });
    expect(reasons(hostile, { kind: 'elsewhere', cluster: 'b' }, trans)[0]).toMatch(
      /ran on http:\/\/\\u202ea, .* b\.$/
    );
    expect(reasons(hostile, { kind: 'elsewhere', cluster: '' }, trans)[0]).toMatch(/no cluster/);
    expect(reasons(record(), { kind: 'missing' }, trans)).toHaveLength(1);
    expect(reasons(record(), { kind: 'gone' }, trans)).toHaveLength(1);
    expect(
      reasons(record(), { kind: 'failed', error: new ApiError('Nobody answers.', 'network') }, trans)[0]
    ).toMatch(/Nobody answers\.$/);
  });

  it('tells of a newer release beside it', () =>
    expect(reasons(record({ version: 99 }), { kind: 'gone' }, trans)).toHaveLength(2));
});
