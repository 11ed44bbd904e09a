import { IFileRef } from './api/files';
import { IOrigin } from './menus/origin';

/**
 * What surrounds us: JupyterLab, Notebook, or our own page. Members that a host lacks are undefined, and then whatever
 * would need them is not offered.
 */
export interface IHost {
  /** Ask before something that can't be undone. */
  confirm(title: string, text: string, accept: string): Promise<boolean>;
  /** Tell what went wrong. */
  showError(title: string, reason: unknown): void;
  /** Put text on the clipboard. */
  copy(text: string): void;
  /**
   * Insert a cell with this code below the active one of the current notebook, and go there. With `teaches` the notebook
   * may be a new one, and gets the cell that loads the magics where it has none.
   */
  insertCode?: (code: string, teaches?: boolean) => void;
  /** Insert text where the cursor is in the active cell of the current notebook; says whether it could. */
  insertText?: (text: string) => boolean;
  /** Open a job in a place of its own. */
  openJob?: (job: string) => void;
  /** Show the panel. */
  openPanel?: () => void;
  /** Show the cell that submitted a job. */
  jumpTo?: (origin: IOrigin) => void;
  /** Open a file of a result in a viewer of the host's; false when it has none. */
  openFile?: (file: IFileRef, size: number) => boolean;
}
