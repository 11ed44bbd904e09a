import { Contents, ServerConnection } from '@jupyterlab/services';
import { ISignal, Signal } from '@lumino/signaling';
import { IFileRef, ResultFilesApi } from '../api/files';
import { DRIVE, imageType, parseDrivePath } from './paths';
import { base64Of, IHead, readHead, textOf } from './read';

/**
 * Files of results as a drive of JupyterLab's, so that its own viewers show them. Nothing can be written, and of a large
 * text only the beginning is read. Paths are `<job>/<execution>/<path in the result>`.
 */
export class ResultsDrive implements Contents.IDrive {
  readonly name = DRIVE;
  readonly fileChanged: ISignal<this, Contents.IChangedArgs> = new Signal<this, Contents.IChangedArgs>(this);
  /** What was read last, by path: whoever shows a file asks here whether that was all. */
  private readonly heads = new Map<string, { size: number; total: number }>();
  private disposed = false;

  constructor(
    private readonly files: ResultFilesApi,
    readonly serverSettings: ServerConnection.ISettings,
    private readonly words: { tooBig: string; binary: string; readOnly: string; noFile: string }
  ) {}

  get isDisposed(): boolean {
    return this.disposed;
  }

  dispose(): void {
    this.disposed = true;
    Signal.clearData(this);
  }

  /** How much of a file was read; undefined when that was all. */
  cut(localPath: string): { bytes: { length: number }; total: number } | undefined {
    const known = this.heads.get(localPath);
    return known && { bytes: { length: known.size }, total: known.total };
  }

  async get(localPath: string, options: Contents.IFetchOptions = {}): Promise<Contents.IModel> {
    const ref = parseDrivePath(localPath);
    if (ref === null) {
      if (options.type === 'directory' || localPath === '') {
        return directory(localPath);
      }
      throw new Error(this.words.noFile);
    }
    if (options.content === false) {
      return model(localPath, ref, options.format ?? 'text', null, undefined);
    }
    const head = await readHead(this.files, ref, this.words);
    if (head.cut) {
      this.heads.set(localPath, { size: head.bytes.length, total: head.total });
    }
    const format = head.kind === 'image' || options.format === 'base64' ? 'base64' : 'text';
    const content = format === 'base64' ? base64Of(head.bytes) : textOf(head.bytes);
    return model(localPath, ref, format, content, head);
  }

  getDownloadUrl(localPath: string): Promise<string> {
    const ref = parseDrivePath(localPath);
    return ref === null ? this.refuse() : Promise.resolve(this.files.url(ref));
  }

  newUntitled(): Promise<Contents.IModel> {
    return this.refuse();
  }

  delete(): Promise<void> {
    return this.refuse();
  }

  rename(): Promise<Contents.IModel> {
    return this.refuse();
  }

  save(): Promise<Contents.IModel> {
    return this.refuse();
  }

  copy(): Promise<Contents.IModel> {
    return this.refuse();
  }

  createCheckpoint(): Promise<Contents.ICheckpointModel> {
    return this.refuse();
  }

  listCheckpoints(): Promise<Contents.ICheckpointModel[]> {
    return Promise.resolve([]);
  }

  restoreCheckpoint(): Promise<void> {
    return this.refuse();
  }

  deleteCheckpoint(): Promise<void> {
    return this.refuse();
  }

  private refuse<T>(): Promise<T> {
    return Promise.reject(new Error(this.words.readOnly));
  }
}

// Results never change, so neither does their time; a viewer compares it to see whether a file was changed elsewhere.
const NEVER = new Date(0).toISOString();

function model(
  path: string,
  ref: IFileRef,
  format: Contents.FileFormat,
  content: string | null,
  head: IHead | undefined
): Contents.IModel {
  return {
    name: ref.path.split('/').pop() ?? '',
    path,
    type: 'file',
    mimetype: head?.kind === 'image' ? imageType(ref.path) : 'text/plain',
    format: content === null ? null : format,
    content,
    size: head?.total,
    writable: false,
    created: NEVER,
    last_modified: NEVER
  };
}

function directory(path: string): Contents.IModel {
  return {
    name: path.split('/').pop() ?? '',
    path,
    type: 'directory',
    mimetype: '',
    format: 'json',
    content: [],
    writable: false,
    created: NEVER,
    last_modified: NEVER
  };
}
