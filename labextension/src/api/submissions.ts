import { ITransport, json } from './transport';

/** A job that a cell submitted, as the user's own record says. */
export interface ISubmission {
  readonly job_id: string;
  readonly endpoint: string;
  readonly cell: string;
  /** What a person calls the job; empty where it was not noted. */
  readonly title: string;
  /** For a job of a sweep or a map: what its jobs share, what they are called, what distinguishes this one. */
  readonly group?: string;
  readonly what?: string;
  readonly label?: string;
}

/** The record of submissions that the Jupyter server keeps; a page without one has none. */
export class SubmissionsApi {
  constructor(private readonly transport: ITransport) {}

  /** The jobs of a notebook's cells that its file does not know. */
  async ofNotebook(path: string): Promise<ISubmission[]> {
    const answer = await json<{ submissions?: unknown }>(this.transport, 'GET', 'submissions', {
      query: { path }
    });
    return Array.isArray(answer.submissions) ? answer.submissions.filter(isSubmission).map(submissionOf) : [];
  }

  /** The notebook and the cell that submitted a job; throws when no cell of this user did. */
  async ofJob(job: string): Promise<{ notebook: string; cell: string }> {
    return json(this.transport, 'GET', 'submissions', { query: { job } });
  }
}

/** Servers before this release send no title. */
function submissionOf(one: Omit<ISubmission, 'title'>): ISubmission {
  const title = (one as { title?: unknown }).title;
  return { ...one, title: typeof title === 'string' ? title : '' };
}

function isSubmission(value: unknown): value is Omit<ISubmission, 'title'> {
  const plain = (value ?? {}) as Record<string, unknown>;
  const isText = (name: string): boolean => typeof plain[name] === 'string';
  const isTextOrMissing = (name: string): boolean => plain[name] === undefined || isText(name);
  return ['job_id', 'endpoint', 'cell'].every(isText) && ['group', 'what', 'label'].every(isTextOrMissing);
}
