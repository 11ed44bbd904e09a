import { readable } from '../format/text';
import { JobsApi } from './jobs';
import { ITransport } from './transport';
import { ISpecConfig } from './types';

/** One published result of a job, as a person can get at it. */
export interface IResult {
  /** `local`, `s3`, `ipfs`, … */
  type: string;
  /** Where it lies, in words: an address, or bucket and key. */
  place: string;
  /** The address of the whole as one file, where the browser can fetch it. */
  download: string;
}

/**
 * Results of jobs. Everything about results goes through here: the components know members only by the path
 * that `list` gives them.
 */
export class ResultsApi {
  constructor(
    protected readonly transport: ITransport,
    private readonly jobs: JobsApi
  ) {}

  /** What a version (0: the newest) published, one entry per execution. */
  async published(job: string, signal?: AbortSignal, version = 0): Promise<IResult[]> {
    return (await this.jobs.results(job, signal, version)).map(describe);
  }
}

/** Put a reference into words. Only addresses of this Jupyter server or plain web addresses can be downloaded. */
export function describe(spec: ISpecConfig): IResult {
  const params = spec.Params ?? {};
  const text = (name: string): string => {
    const value = params[name];
    return typeof value === 'string' ? value : '';
  };
  const url = text('URL') || text('PreSignedURL');
  const bucket = text('Bucket');
  const place = bucket ? `s3://${bucket}/${text('Key')}` : text('CID') || url.split('?')[0] || '';
  return { type: readable(spec.Type ?? ''), place: readable(place), download: isWebAddress(url) ? url : '' };
}

function isWebAddress(url: string): boolean {
  // Browsers leave out line ends and tabs: `/<tab>/host` is an address elsewhere.
  return !/[\u0000-\u0020\u007f]/.test(url) && (/^https?:\/\//i.test(url) || /^\/(?![/\\])/.test(url));
}
