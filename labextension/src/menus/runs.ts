import { Api } from '../api/client';
import { INotebookOrder } from '../api/notebooks';
import { isOver, IStreamEvent } from '../api/types';
import { shortId } from '../format/units';
import { IHost } from '../host';
import { endingText } from '../jobs/endings';
import { outcomeOfEvent } from '../jobs/unseen';
import { Sync } from '../store/sync';
import { IOrigin, pathBelow } from './origin';
import { IParameter, parametersOf } from './parameters';
import { readSpec } from './spec';

/** How long the executed copy may take to appear after its job has ended. */
export const COPY_WAITS_MS: readonly number[] = [500, 1000, 2000, 4000, 8000, 16000];

/** A message that stays a moment or, with `stays`, until somebody closes it. */
export interface INotice {
  readonly text: string;
  readonly kind: 'success' | 'warning' | 'error';
  readonly stays?: boolean;
  /** The job whose output a click shows. */
  readonly job?: string;
  /** The file that a click opens. */
  readonly file?: string;
}

/** What JupyterLab does for the runs: files, the dialog, notices. */
export interface IDesk {
  /** The root of the Jupyter server, with `~` for the home directory. */
  readonly root: string;
  /** Save a file that is open with changes: what runs is what is on screen. */
  save(path: string): Promise<void>;
  /** The text of a file. */
  readText(path: string): Promise<string>;
  /** The content of a notebook. */
  readNotebook(path: string): Promise<unknown>;
  /** The paths of the notebooks that are open. */
  openNotebooks(): readonly string[];
  /** Whether there is a file. */
  exists(path: string): Promise<boolean>;
  /** Open a notebook, or bring it to the front, at a cell; says whether it has that cell. */
  reveal(path: string, cell: string): Promise<boolean>;
  /** Ask how a notebook shall run; null when the person cancels. */
  ask(path: string, parameters: readonly IParameter[]): Promise<INotebookOrder | null>;
  notify(notice: INotice): void;
  /** Resolves after some time. */
  wait(ms: number): Promise<void>;
}

/** What the runs need of the rest of the front end. */
export interface IContext {
  readonly api: Pick<Api, 'jobs' | 'notebooks'>;
  readonly sync: Pick<Sync, 'acquire' | 'watchers'>;
  readonly host: Pick<IHost, 'showError'>;
  readonly trans: { __(text: string, ...args: unknown[]): string };
}

/** Files as jobs, and the way back from a job to its notebook. */
export class Runs {
  constructor(
    private readonly context: IContext,
    private readonly desk: IDesk
  ) {}

  /** Submit a job spec. */
  async runSpec(path: string): Promise<void> {
    const { trans, host, api } = this.context;
    try {
      await this.desk.save(path);
      const answer = await api.jobs.submit(await readSpec(await this.desk.readText(path), path));
      const warnings = answer.Warnings ?? [];
      this.desk.notify({
        text: [trans.__('Job %1 is submitted.', shortId(answer.JobID)), ...warnings].join(' '),
        kind: warnings.length > 0 ? 'warning' : 'success',
        job: answer.JobID
      });
    } catch (reason) {
      host.showError(trans.__('%1 could not be run', path), reason);
    }
  }

  /** Ask how a notebook shall run, submit it, and tell when its executed copy is there. */
  async runNotebook(path: string): Promise<void> {
    const { trans, host, api } = this.context;
    try {
      await this.desk.save(path);
      const order = await this.desk.ask(path, parametersOf(await this.desk.readNotebook(path)));
      if (order === null) {
        return;
      }
      const ends = this.hearEnds();
      try {
        const { job_id: job, copy } = await api.notebooks.submit(order);
        this.desk.notify({
          text: trans.__('%1 runs as job %2; its executed copy comes back beside it.', path, shortId(job)),
          kind: 'success',
          job
        });
        void ends.of(job).then(end => this.tellOfCopy(copy, end));
      } catch (reason) {
        ends.leave();
        throw reason;
      }
    } catch (reason) {
      host.showError(trans.__('%1 could not be run', path), reason);
    }
  }

  /** Show the cell that submitted a job. */
  async jump(origin: IOrigin): Promise<void> {
    const { trans, host } = this.context;
    const { notebook, cell } = origin;
    // Where all that is known is a name, the notebook that is open is meant.
    const open = origin.isNameOnly ? this.desk.openNotebooks().find(isNamed(notebook)) : undefined;
    const path = open ?? pathBelow(this.desk.root, notebook);
    if (path === null || !(await this.desk.exists(path))) {
      host.showError(trans.__('The notebook can’t be opened'), new Error(this.whyNot(origin, path)));
    } else if (!(await this.desk.reveal(path, cell))) {
      this.desk.notify({
        text: trans.__('%1 does not have the cell any longer that submitted the job.', path),
        kind: 'warning'
      });
    }
  }

  private whyNot({ notebook, isNameOnly }: IOrigin, path: string | null): string {
    const { trans } = this.context;
    if (path === null) {
      return trans.__('%1 is not below the root of this Jupyter server.', notebook);
    }
    return isNameOnly
      ? trans.__('Only the name of the notebook is known, %1. Open it, then try again.', notebook)
      : trans.__('%1 is not there any longer: it was moved, renamed or deleted.', path);
  }

  /** Hear how jobs end from now on: one may end before the answer to its submission says which one it is. */
  private hearEnds(): { of(job: string): Promise<IStreamEvent>; leave(): void } {
    const { sync } = this.context;
    const release = sync.acquire('active');
    const early: IStreamEvent[] = [];
    let tell = (end: IStreamEvent): void => void early.push(end);
    const watch = (event: IStreamEvent): void => {
      // Only the event that ends the job says with which exit code.
      if (!event.execution && isOver(event.state || undefined)) {
        tell(event);
      }
    };
    const leave = (): void => {
      sync.watchers.delete(watch);
      release();
    };
    sync.watchers.add(watch);
    const of = (job: string): Promise<IStreamEvent> =>
      new Promise(resolve => {
        tell = end => {
          if (end.job === job) {
            leave();
            resolve(end);
          }
        };
        early.forEach(tell);
      });
    return { of, leave };
  }

  private async tellOfCopy(copy: string, end: IStreamEvent): Promise<void> {
    const { trans } = this.context;
    const failed = outcomeOfEvent(end) !== 'succeeded';
    const name = copy.split('/').pop() ?? copy;
    for (const wait of COPY_WAITS_MS) {
      await this.desk.wait(wait);
      if (await this.desk.exists(copy)) {
        this.desk.notify({
          text: failed
            ? trans.__('%1. The executed copy is %2.', endingText(end, name, trans), copy)
            : trans.__('The executed copy is %1.', copy),
          kind: failed ? 'error' : 'success',
          stays: true,
          file: copy
        });
        return;
      }
    }
    if (failed) {
      this.desk.notify({ text: endingText(end, name, trans), kind: 'error', stays: true, job: end.job });
    }
  }
}

function isNamed(name: string): (path: string) => boolean {
  return path => path === name || path.endsWith(`/${name}`);
}
