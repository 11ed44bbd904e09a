import { ApiError } from './errors';
import { check, release } from './handshake';
import { IStatus } from './types';

const status = (changes: Partial<IStatus> = {}): IStatus => ({
  version: '1.2.3',
  cluster: null,
  alive: true,
  node_version: '',
  active_jobs: null,
  problem: '',
  ...changes
});
const kindOf = async (answer: IStatus | Error, mine = '1.2.3'): Promise<string> =>
  (await check(() => (answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)), mine))
    .kind;

describe('release', () => {
  it.each([
    ['0.1.0.dev0', '0.1.0-dev.0'],
    ['1.0.0a1', '1.0.0-alpha.1'],
    ['1.0.0b2', 'v1.0.0-beta.2'],
    ['1.0.0rc1', '1.0.0-rc.1'],
    [' 1.0.0\n', '1.0.0']
  ])('takes %j and %j for the same', (one, other) => expect(release(one)).toBe(release(other)));

  it.each([
    ['0.1.0', '0.1.1'],
    ['0.1.0', '0.1.0.dev0'],
    ['1.0.0a1', '1.0.0b1'],
    ['1.0.0rc1', '1.0.0rc2'],
    ['', '1.0.0'],
    ['1.0', '1.0.0']
  ])('tells %j from %j', (one, other) => expect(release(one)).not.toBe(release(other)));

  it('survives what is no version', () => expect(release(undefined as unknown as string)).toBe('undefined'));
});

describe('check', () => {
  it('finds all well, a cluster that is down, and another version before both', async () => {
    expect(await kindOf(status())).toBe('ok');
    expect(await kindOf(status({ alive: false }))).toBe('down');
    expect(await kindOf(status({ alive: false }), '1.2.4')).toBe('mismatch');
  });

  it('tells a missing server half from a server that fails', async () => {
    expect(await kindOf(new ApiError('x', 'extension', 404))).toBe('missing');
    expect(await kindOf(new ApiError('x', 'auth', 403))).toBe('failed');
    expect(await kindOf(new Error('x'))).toBe('failed');
  });
});
