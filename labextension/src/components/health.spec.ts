import { ApiError } from '../api/errors';
import { Health } from '../api/handshake';
import { IStatus } from '../api/types';
import { trans } from '../page/words';
import { explain } from './health';

const status: IStatus = {
  version: '',
  cluster: { url: 'http://a', source: 's', embedded: false },
  alive: false,
  node_version: '',
  active_jobs: null,
  problem: ''
};
const text = (health: Health): string => {
  const explanation = explain(health, trans);
  return explanation === null ? '' : `${explanation.what} ${explanation.hint}`;
};

describe('the health in words', () => {
  it('says nothing while all is well', () => {
    expect(explain({ kind: 'unknown' }, trans)).toBeNull();
    expect(explain({ kind: 'ok', status }, trans)).toBeNull();
  });

  it('says what to do about each thing that may be wrong', () => {
    expect(text({ kind: 'missing' })).toMatch(/pip install/);
    expect(text({ kind: 'mismatch', status, mine: '2.0' })).toMatch(/2\.0.*an older version.*Restart/);
    expect(text({ kind: 'down', status })).toMatch(/does not answer.*http:\/\/a/);
    expect(text({ kind: 'down', status: { ...status, refused: true } })).toMatch(/another API key or token/);
    expect(text({ kind: 'failed', error: new ApiError('no', 'auth', 403) })).toMatch(/no Log in again/);
    expect(text({ kind: 'failed', error: new ApiError('no', 'network') })).toMatch(/can’t be reached: no/);
  });

  it('spells out what a cluster hides in its problem', () =>
    expect(text({ kind: 'down', status: { ...status, problem: 'a\u202eb' } })).toContain('a\\u202eb'));

  it('has no hint where no cluster is chosen', () =>
    expect(explain({ kind: 'down', status: { ...status, cluster: null } }, trans)?.hint).toBe(''));
});
