import { errorOf } from './errors';
import { ITransport, json, segment } from './transport';

/** One entry of a result. Names come from jobs: anything may be in them. */
export interface IResultFile {
  /** Relative, with `/` between the parts. */
  Path: string;
  /** Bytes; missing for what is no file. */
  Size?: number;
  /** `file`, `directory` or `link`. */
  Kind?: string;
  /** Where a link leads. */
  Target?: string;
}

/** What one execution published. */
export interface IListing {
  ExecutionID: string;
  NodeID?: string;
  Type?: string;
  Files?: IResultFile[] | null;
  /** Whether there are more entries than these. */
  Truncated?: boolean;
  /** Why this result can't be looked into; empty when it can. */
  Problem?: string;
}

/** Names one file of a result. */
export interface IFileRef {
  readonly job: string;
  readonly execution: string;
  readonly path: string;
}

/** The first bytes of a file, or a range of it. */
export interface IPiece {
  readonly bytes: Uint8Array;
  /** Size of the whole file. */
  readonly total: number;
}

/** Single files of results, without fetching the whole (the feature `result-files`). */
export class ResultFilesApi {
  constructor(private readonly transport: ITransport) {}

  /** What a version (0: the newest) of a job published, one listing per execution. */
  async list(job: string, signal?: AbortSignal, version = 0): Promise<IListing[]> {
    const query = version > 0 ? { job_version: version } : {};
    const answer = await json<{ Results?: IListing[] | null }>(this.transport, 'GET', base(job), {
      query,
      signal
    });
    return Array.isArray(answer.Results) ? answer.Results : [];
  }

  /**
   * Read the bytes from `start` to before `stop`. A server that ignores the range is stopped after as many bytes as
   * were asked for.
   */
  async read(ref: IFileRef, start: number, stop: number, signal?: AbortSignal): Promise<IPiece> {
    if (stop <= start) {
      return { bytes: new Uint8Array(0), total: 0 };
    }
    const headers = { Range: `bytes=${start}-${stop - 1}` };
    const response = await this.transport.fetch('GET', address(ref), { signal, headers });
    if (response.status === 416 && start === 0) {
      // An empty file has no first byte.
      return { bytes: new Uint8Array(0), total: 0 };
    }
    if (!response.ok) {
      throw errorOf(response.status, await response.text());
    }
    const ranged = /\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '');
    const bytes = await take(response, ranged ? 0 : start, stop - start);
    const length = Number(response.headers.get('Content-Length') ?? NaN);
    return { bytes, total: ranged ? Number(ranged[1]) : Number.isFinite(length) ? length : bytes.length };
  }

  /** The address that downloads the file. */
  url(ref: IFileRef): string {
    return this.transport.url(address(ref));
  }
}

function base(job: string): string {
  return `api/v1/orchestrator/jobs/${segment(job)}/results/files`;
}

function address(ref: IFileRef): string {
  const path = ref.path.split('/').map(segment).join('/');
  return `${base(ref.job)}/${segment(ref.execution)}/${path}`;
}

async function take(response: Response, skip: number, most: number): Promise<Uint8Array> {
  const reader = response.body?.getReader();
  if (reader === undefined) {
    return new Uint8Array(await response.arrayBuffer()).slice(skip, skip + most);
  }
  const buffer = new Uint8Array(most);
  let [seen, kept] = [0, 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return buffer.slice(0, kept);
    }
    const part = value.subarray(Math.max(0, skip - seen)).subarray(0, most - kept);
    buffer.set(part, kept);
    kept += part.length;
    seen += value.length;
    if (kept >= most) {
      void reader.cancel();
      return buffer;
    }
  }
}
