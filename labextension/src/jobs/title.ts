import { IJob } from '../api/types';
import { readable } from '../format/text';
import { shortId } from '../format/units';

/** Meta key of what a job is called where it has no name of its own: `quickstart.ipynb [3]`. */
export const TITLE = 'jupyter.org/title';
/** Meta key that names the job of which another one is a run again. */
export const RERUN_OF = 'jupyter.org/rerun-of';

const LONGEST = 80;
const NOTEBOOK = /^(.*\.ipynb) \[\d+\]$/;

/** What a person calls a job: its name, else the cell or the code that it comes from, else the short id. */
export function titleOf(job: IJob): string {
  const { Name: name } = job;
  if (name && name !== job.ID) {
    return readable(name);
  }
  return readable(metaOf(job, TITLE) || programOf(job)) || shortId(job.ID);
}

/** The notebook that a job comes from, by its file name; empty where that is unknown. */
export function notebookOf(job: IJob): string {
  const titled = NOTEBOOK.exec(metaOf(job, TITLE))?.[1] ?? '';
  const path = titled || metaOf(job, 'jupyter.org/notebook') || metaOf(job, 'jupyter.org/session');
  return path.endsWith('.ipynb') ? (path.split('/').pop() ?? '') : '';
}

/** The job of which this one is a run again; empty where it is none. */
export function rerunOf(job: IJob): string {
  return metaOf(job, RERUN_OF);
}

/** A text of a job's metadata; empty where there is none. */
export function metaOf(job: IJob, name: string): string {
  const value: unknown = job.Meta?.[name];
  return typeof value === 'string' ? value : '';
}

/** The program of a job in one line; empty where it only runs a file that travels along. */
function programOf(job: IJob): string {
  const { Type: type, Params: params } = job.Tasks?.[0]?.Engine ?? {};
  const words = (name: string): string[] => {
    const value: unknown = params?.[name];
    return Array.isArray(value) ? value.filter((word): word is string => typeof word === 'string') : [];
  };
  const command = type === 'process' ? words('Command') : [...words('Entrypoint'), ...words('Parameters')];
  const image: unknown = params?.Image;
  if (command.some(word => word.includes('.bacalhau/'))) {
    return '';
  }
  const at = command.indexOf('-c');
  const text = at >= 0 && at < command.length - 1 ? firstLine(command[at + 1] ?? '') : command.join(' ');
  const place = type === 'docker' && typeof image === 'string' ? image : '';
  return [place, firstLine(text)].filter(Boolean).join(': ').slice(0, LONGEST);
}

/** The first line that says something. */
export function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .map(line => line.trim())
      .find(line => line !== '' && !line.startsWith('#!')) ?? ''
  );
}
