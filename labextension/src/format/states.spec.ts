import { trans } from '../page/words';
import { stateLabel, stateSign } from './states';

const STATES = ['Pending', 'Queued', 'Running', 'Completed', 'Failed', 'Stopped'];

describe('a state', () => {
  it('has a word and a sign of its own', () => {
    expect(STATES.map(state => stateLabel(trans, state))).toEqual(STATES);
    expect(new Set(STATES.map(stateSign)).size).toBe(STATES.length);
  });

  it.each(['', 'running', '__proto__', 'constructor', 'toString', '\u202e'])(
    'that nobody knows has a sign, too: %j',
    state => {
      expect(stateSign(state)).toBe('○');
      expect(stateLabel(trans, state)).toBe('Unknown');
    }
  );
});
