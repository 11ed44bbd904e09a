import { ISocket, ITransport, Query } from '../api/transport';

/** A websocket that the test drives. */
export class FakeSocket implements ISocket {
  onopen: ((event: unknown) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  closed = false;

  constructor(
    readonly path: string,
    readonly query: Query
  ) {}

  close(): void {
    this.closed = true;
  }

  open(): void {
    this.onopen?.({});
  }

  send(data: unknown): void {
    this.onmessage?.({ data: typeof data === 'string' ? data : JSON.stringify(data) });
  }

  end(code: number): void {
    this.onclose?.({ code, reason: '' });
  }
}

export interface IAnswer {
  status: number;
  body: string;
}

/** A transport whose answers the test gives: `"METHOD path"` → what comes back, at once or when a promise is kept. */
export class FakeTransport implements ITransport {
  readonly sockets: FakeSocket[] = [];
  readonly requests: { method: string; path: string; query?: Query; body?: unknown }[] = [];
  readonly answers = new Map<string, (query: Query) => unknown>();

  fetch: ITransport['fetch'] = async (method, path, options = {}) => {
    this.requests.push({ method, path, query: options.query, body: options.body });
    const answer = this.answers.get(`${method} ${path}`);
    const content = answer
      ? await answer(options.query ?? {})
      : { status: 404, body: '{"Message":"not content"}' };
    const { status, body } = isAnswer(content) ? content : { status: 200, body: JSON.stringify(content) };
    const response = { ok: status < 400, status, text: () => Promise.resolve(body) };
    return response as unknown as Response;
  };

  socket(path: string, query: Query = {}): ISocket {
    const socket = new FakeSocket(path, query);
    this.sockets.push(socket);
    return socket;
  }

  url(path: string): string {
    return `/base/bacalhau/${path}`;
  }

  get last(): FakeSocket {
    const socket = this.sockets[this.sockets.length - 1];
    if (socket === undefined) {
      throw new Error('no socket was opened');
    }
    return socket;
  }
}

function isAnswer(value: unknown): value is IAnswer {
  return typeof value === 'object' && value !== null && 'status' in value && 'body' in value;
}
