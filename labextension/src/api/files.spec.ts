import { ITransport } from './transport';
import { ResultFilesApi } from './files';

const REF = { job: 'j-1', execution: 'e-1', path: 'a' };

/** A transport that answers once, in pieces of some bytes, and notes what was asked. */
class OneAnswer {
  asked: { path: string; range: string | undefined }[] = [];
  sent = 0;
  cancelled = false;

  constructor(
    private readonly status: number,
    private readonly bytes: Uint8Array,
    private readonly headers: Record<string, string> = {},
    private readonly piece = 3,
    private readonly streams = true
  ) {}

  get api(): ResultFilesApi {
    const transport: Partial<ITransport> = {
      fetch: (_, path, options) => {
        this.asked.push({ path, range: options?.headers?.Range });
        return Promise.resolve(this.response());
      },
      url: path => `/base/bacalhau/${path}`
    };
    return new ResultFilesApi(transport as ITransport);
  }

  private response(): Response {
    const read = (): Promise<{ done: boolean; value?: Uint8Array }> => {
      const value = this.bytes.subarray(this.sent, this.sent + this.piece);
      this.sent += value.length;
      return Promise.resolve(value.length ? { done: false, value } : { done: true });
    };
    const cancel = (): Promise<void> => {
      this.cancelled = true;
      return Promise.resolve();
    };
    return {
      ok: this.status < 400,
      status: this.status,
      headers: new Map(Object.entries(this.headers)),
      body: this.streams ? { getReader: () => ({ read, cancel }) } : null,
      arrayBuffer: () => Promise.resolve(this.bytes.slice().buffer),
      text: () => Promise.resolve('{"Message":"gone"}')
    } as unknown as Response;
  }
}

const bytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, at) => at);

describe('reading a part of a file', () => {
  it.each([
    [0, 4],
    [2, 7],
    [3, 6],
    [5, 6],
    [9, 20]
  ])('gives the bytes from %d to %d, whether the server knows ranges or not', async (start, stop) => {
    const whole = bytes(10);
    const ranged = new OneAnswer(206, whole.slice(start, stop), {
      'Content-Range': `bytes ${start}-${stop - 1}/10`
    });
    const plain = new OneAnswer(200, whole, { 'Content-Length': '10' });
    const unstreamed = new OneAnswer(200, whole, { 'Content-Length': '10' }, 3, false);
    for (const answer of [ranged, plain, unstreamed]) {
      const piece = await answer.api.read(REF, start, stop);
      expect([...piece.bytes]).toEqual([...whole.slice(start, stop)]);
      expect(piece.total).toBe(10);
      expect(answer.asked[0]?.range).toBe(`bytes=${start}-${stop - 1}`);
    }
  });

  it('stops a server that ignores the range after as many bytes as were asked for', async () => {
    const answer = new OneAnswer(200, bytes(250), { 'Content-Length': '250' });
    await answer.api.read(REF, 0, 6);
    expect([answer.sent, answer.cancelled]).toEqual([6, true]);
  });

  it('stops a server that sends more than the range', async () => {
    const answer = new OneAnswer(206, bytes(250), { 'Content-Range': 'bytes 0-3/4' });
    expect((await answer.api.read(REF, 0, 4)).bytes).toHaveLength(4);
  });

  it('asks for nothing when nothing is wanted', async () => {
    const answer = new OneAnswer(200, bytes(9));
    expect(await answer.api.read(REF, 5, 5)).toEqual({ bytes: new Uint8Array(0), total: 0 });
    expect(answer.asked).toEqual([]);
  });

  it('takes an empty file for an empty file, and a start behind the end for an error', async () => {
    expect((await new OneAnswer(416, bytes(0)).api.read(REF, 0, 9)).total).toBe(0);
    await expect(new OneAnswer(416, bytes(0)).api.read(REF, 5, 9)).rejects.toMatchObject({ status: 416 });
  });
});

describe('the address of a file', () => {
  const { api } = new OneAnswer(200, bytes(0));

  it('keeps the directories of a path, and everything else inside its segment', () =>
    expect(api.url({ job: 'j/1', execution: 'e?1', path: 'a b/c#d/%2e%2e' })).toBe(
      '/base/bacalhau/api/v1/orchestrator/jobs/j%2F1/results/files/e%3F1/a%20b/c%23d/%252e%252e'
    ));

  it.each(['..', 'a/../../x', './a'])('never leads out of the result: %s', path =>
    expect(() => api.url({ ...REF, path })).toThrow(/is not a name/)
  );
});
