import { trans } from '../page/words';
import { OUTCOMES } from '../store/outcome';
import { badgeOf, outcomeLabel } from './outcomes';

describe('a badge', () => {
  it('shows a wrong exit code as a failure, and the official word beside it', () => {
    expect(badgeOf({ state: 'Completed', outcome: 'failed', exitCode: 1 }, trans)).toEqual({
      sign: '✕',
      label: 'exit 1',
      official: 'Completed'
    });
  });

  it.each(['Completed', 'Failed', 'Running'])('shows the state where it says it all: %s', state =>
    expect(badgeOf({ state, outcome: 'succeeded', exitCode: 0 }, trans)).toMatchObject({
      label: state,
      official: ''
    })
  );
});

it('every outcome has a name of its own', () => {
  expect(new Set(OUTCOMES.map(outcome => outcomeLabel(outcome, trans))).size).toBe(OUTCOMES.length);
});
