import { ServerConnection } from '@jupyterlab/services';
import { JupyterTransport } from './jupyter';
import { Presence, RECENT_MS } from './presence';

/** A page on which a test can press keys as a person does. */
function setUp(): {
  presence: Presence;
  press: (sign: string, trusted?: boolean) => void;
  wait: (ms: number) => void;
} {
  let now = 1e6;
  const listeners = new Map<string, (event: Event) => void>();
  const page = {
    addEventListener: (sign: string, listener: (event: Event) => void) => listeners.set(sign, listener)
  } as unknown as EventTarget;
  return {
    presence: new Presence(page, () => now),
    press: (sign, isTrusted = true) => listeners.get(sign)?.({ isTrusted } as Event),
    wait: ms => {
      now += ms;
    }
  };
}

describe('what counts as a person', () => {
  it('is nothing that a page does by itself', () => {
    const { presence, press, wait } = setUp();
    expect(presence.headers()).toEqual({});
    press('keydown', false);
    expect(presence.headers()).toEqual({});
    press('mousemove');
    wait(1);
    expect(presence.headers()).toEqual({});
  });

  it.each(['pointerdown', 'keydown', 'wheel'])('is what follows a %s, for a moment', sign => {
    const { presence, press, wait } = setUp();
    press(sign);
    wait(RECENT_MS);
    expect(presence.headers()).toEqual({ 'X-Bacalhau-Person': '1' });
    wait(1);
    expect(presence.headers()).toEqual({});
  });

  it('goes along with a request', async () => {
    const { presence, press } = setUp();
    const sent: Record<string, string>[] = [];
    jest.spyOn(ServerConnection, 'makeRequest').mockImplementation((_url, init) => {
      sent.push(init.headers as Record<string, string>);
      return Promise.resolve({ ok: true } as Response);
    });
    const settings = { baseUrl: 'http://localhost/' } as ServerConnection.ISettings;
    const transport = new JupyterTransport(settings, 'bacalhau', presence);
    await transport.fetch('GET', 'status');
    press('pointerdown');
    await transport.fetch('GET', 'status');
    await transport.fetch('PUT', 'x', { body: {} });
    expect(sent.map(headers => headers['X-Bacalhau-Person'])).toEqual([undefined, '1', '1']);
    expect(sent[2]?.['Content-Type']).toBe('application/json');
  });
});
