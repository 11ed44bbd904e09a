import { ServerConnection } from '@jupyterlab/services';
import { JupyterTransport } from './jupyter';
import { segment } from './transport';

class Socket {
  constructor(readonly url: string) {}
}

const transport = (baseUrl: string, token = '', appendToken = false): JupyterTransport =>
  new JupyterTransport(
    {
      baseUrl,
      wsUrl: baseUrl.replace(/^http/, 'ws'),
      token,
      appendToken,
      WebSocket: Socket
    } as unknown as ServerConnection.ISettings,
    'bacalhau',
    { headers: () => ({}) }
  );

describe('addresses below the base of a Jupyter server', () => {
  it.each([
    'http://host:8888/',
    'https://hub.example/user/ann%20b/',
    'https://hub.example/user/x/proxy/absolute/8080/'
  ])('stay below %s', base => {
    const url = transport(base).url('api/v1/x', { a: '1' });
    expect(url).toBe(`${base}bacalhau/api/v1/x?a=1`);
  });

  it.each(['a/b', '..%2f', 'ü 日本', 'a?b', '#', 'https://elsewhere.example'])(
    'keep the name %j one segment',
    name => {
      const url = new URL(transport('https://hub.example/user/x/').url(`saved/${segment(name)}`));
      expect(url.host).toBe('hub.example');
      expect(url.pathname.split('/').slice(0, 5)).toEqual(['', 'user', 'x', 'bacalhau', 'saved']);
      expect(decodeURIComponent(url.pathname.split('/')[5] ?? '')).toBe(name);
    }
  );

  it('are those of a socket, too, with the token only where Jupyter asks for it', () => {
    const url = (append: boolean): string =>
      (
        transport('https://hub.example/user/x/', 'secret', append).socket('ev', {
          since: 4
        }) as unknown as Socket
      ).url;
    expect(url(false)).toBe('wss://hub.example/user/x/bacalhau/ev?since=4');
    expect(url(true)).toBe('wss://hub.example/user/x/bacalhau/ev?since=4&token=secret');
  });

  it('are never those of a download with the token in it', () =>
    expect(transport('https://hub.example/', 'secret', true).url('x')).not.toContain('secret'));
});
