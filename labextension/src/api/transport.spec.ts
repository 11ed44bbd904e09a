import { FakeTransport } from '../testing/transport';
import { ApiError } from './errors';
import { answered, json, segment } from './transport';

describe('segment', () => {
  it.each([
    'a/b',
    'a?b#c',
    '%2e%2e',
    '%',
    'a b',
    '日本 😀',
    '...',
    '.hidden',
    '__proto__',
    '\\',
    ';x',
    'a\u202eb'
  ])('keeps %j one segment of a path, which reads back as itself', text => {
    const { pathname } = new URL(`http://host/x/${segment(text)}/y`);
    const parts = pathname.split('/');
    expect(parts).toHaveLength(4);
    expect(decodeURIComponent(parts[2] ?? '')).toBe(text);
  });

  it.each(['.', '..'])('refuses %j, which leads to another path however it is encoded', text =>
    expect(() => segment(text)).toThrow(ApiError)
  );

  it('survives half a character', () => expect(decodeURIComponent(segment('a\ud83db'))).toBe('a\ufffdb'));
});

describe('json', () => {
  const transport = new FakeTransport();

  it.each(['', '<html>', '{', 'undefined'])('says of %j that it is no JSON', async body => {
    transport.answers.set('GET x', () => ({ status: 200, body }));
    await expect(json(transport, 'GET', 'x')).rejects.toMatchObject({
      name: 'ApiError',
      kind: 'api',
      status: 200
    });
  });

  it('throws what the server says went wrong', async () => {
    transport.answers.set('GET x', () => ({ status: 409, body: '{"Message":"busy","Hint":"wait"}' }));
    await expect(json(transport, 'GET', 'x')).rejects.toMatchObject({
      message: 'busy',
      hint: 'wait',
      status: 409
    });
  });
});

describe('answered', () => {
  afterEach(() => jest.useRealTimers());
  const never = (signal: AbortSignal): Promise<Response> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));

  it('gives up a server that does not begin to answer', async () => {
    jest.useFakeTimers();
    const waiting = answered(undefined, 'silent', never);
    jest.advanceTimersByTime(60_000);
    await expect(waiting).rejects.toMatchObject({ message: 'silent', kind: 'network' });
  });

  it('does not call it an error of the network when the caller lost interest', async () => {
    const controller = new AbortController();
    const waiting = answered(controller.signal, 'silent', never);
    controller.abort();
    await expect(waiting).rejects.not.toBeInstanceOf(ApiError);
  });

  it('does not send for a caller that has lost interest before', async () => {
    const controller = new AbortController();
    controller.abort();
    let wasAborted = false;
    await answered(controller.signal, 'silent', signal => {
      wasAborted = signal.aborted;
      return Promise.reject(new Error('aborted'));
    }).catch(() => undefined);
    expect(wasAborted).toBe(true);
  });

  it('leaves no timer behind', async () => {
    jest.useFakeTimers();
    await answered(undefined, 'silent', () => Promise.resolve({} as Response));
    await answered(undefined, 'silent', () => Promise.reject(new Error('x'))).catch(() => undefined);
    expect(jest.getTimerCount()).toBe(0);
  });
});
