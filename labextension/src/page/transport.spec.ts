import { VERSION } from '../version';
import { PageTransport } from './transport';

type Answer = { status: number; body: string } | Error;

function page(answer: Answer): { transport: PageTransport; left: string[]; asked: [string, RequestInit][] } {
  const left: string[] = [];
  const asked: [string, RequestInit][] = [];
  const place = {
    protocol: 'https:',
    host: 'node:1234',
    origin: 'https://node:1234',
    assign: (url: string) => left.push(url)
  };
  const ask = (url: string, init: RequestInit): Promise<Response> => {
    asked.push([url, init]);
    return answer instanceof Error
      ? Promise.reject(answer)
      : Promise.resolve({
          ok: answer.status < 400,
          status: answer.status,
          json: () => Promise.resolve().then(() => JSON.parse(answer.body) as unknown)
        } as Response);
  };
  return { transport: new PageTransport(place as unknown as Location, ask as typeof fetch), left, asked };
}

const made: string[] = [];

beforeAll(() => {
  Object.assign(globalThis, {
    WebSocket: class {
      constructor(url: string) {
        made.push(url);
      }
    },
    Response: class {
      constructor(private readonly body: string) {}
      json(): Promise<unknown> {
        return Promise.resolve(JSON.parse(this.body));
      }
    }
  });
});

const statusOf = async (answer: Answer): Promise<Record<string, unknown>> =>
  (await (await page(answer).transport.fetch('GET', 'status')).json()) as Record<string, unknown>;

describe('the status of the node that the page came from', () => {
  it('is made of its version', async () =>
    expect(await statusOf({ status: 200, body: '{"GitVersion":"v1.9.3"}' })).toMatchObject({
      version: VERSION,
      alive: true,
      node_version: 'v1.9.3',
      problem: '',
      cluster: { url: 'https://node:1234' }
    }));

  it.each(['null', '[]', '7', '{"GitVersion":7}'])('has no version where the node says %s', async body =>
    expect(await statusOf({ status: 200, body })).toMatchObject({
      alive: true,
      node_version: '',
      problem: ''
    })
  );

  it.each(['<html>', '{}'])('says that a proxy answers with an error: %s', async body =>
    expect(await statusOf({ status: 502, body })).toMatchObject({
      alive: false,
      problem: 'The node answers with HTTP 502.'
    })
  );

  it('says that nobody answers', async () =>
    expect(await statusOf(new TypeError('failed'))).toMatchObject({
      alive: false,
      problem: 'The node does not answer.'
    }));
});

describe('a session', () => {
  it('that has ended leads to the login', async () => {
    const { transport, left } = page({ status: 401, body: '{}' });
    await transport.fetch('GET', 'api/v1/x');
    expect(left).toEqual(['/login']);
  });

  it('that lacks a right does not', async () => {
    const { transport, left } = page({ status: 403, body: '{}' });
    await transport.fetch('GET', 'api/v1/x');
    expect(left).toEqual([]);
  });

  it('is ended by a POST, and only then left', async () => {
    const { transport, left, asked } = page({ status: 200, body: '{}' });
    await transport.logOut();
    expect(asked.map(([url, init]) => [url, init.method])).toEqual([['/logout', 'POST']]);
    expect(left).toEqual(['/login']);
    const broken = page(new TypeError('failed'));
    await expect(broken.transport.logOut()).rejects.toMatchObject({ kind: 'network' });
    expect(broken.left).toEqual([]);
  });
});

describe('addresses', () => {
  const { transport } = page({ status: 200, body: '{}' });

  it('are those of the node, encrypted where the page is', () => {
    transport.socket('ev', { since: 0, text: 'a&b' });
    expect(made).toEqual(['wss://node:1234/ev?since=0&text=a%26b']);
    expect(transport.url('x', { a: 'ü' })).toBe('/x?a=%C3%BC');
  });
});
