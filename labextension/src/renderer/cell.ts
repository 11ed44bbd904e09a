/** The part of a kernel's future that says whether a cell runs. */
interface IFuture {
  readonly isDisposed: boolean;
  readonly done: Promise<unknown>;
}

interface INode {
  readonly parent: INode | null;
}

/** Follows whether the cell around an output runs in this page: then the kernel itself brings what the job prints. */
export class CellWatch {
  private future: IFuture | null = null;
  private over = true;

  /** `changed` is called when the cell has ended, or when nobody listens to its kernel any longer. */
  constructor(private readonly changed: () => void) {}

  /** Whether the cell runs, and its outputs arrive here. */
  get runs(): boolean {
    return this.future !== null && !this.over && !this.future.isDisposed;
  }

  /** Look for the cell that an output lies in. */
  look(output: INode): void {
    const future = futureAround(output);
    if (future === null || future === this.future) {
      return;
    }
    this.future = future;
    this.over = false;
    const ended = (): void => {
      if (this.future === future) {
        this.over = true;
        this.changed();
      }
    };
    future.done.then(ended, ended);
  }
}

/** The future of the output area around an output; null where there is none: after a reload, in a viewer. */
function futureAround(output: INode): IFuture | null {
  for (let node = output.parent; node !== null; node = node.parent) {
    const future = (node as { future?: unknown }).future;
    if (isFuture(future)) {
      return future;
    }
  }
  return null;
}

function isFuture(value: unknown): value is IFuture {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { isDisposed?: unknown }).isDisposed === 'boolean' &&
    typeof (value as { done?: { then?: unknown } }).done?.then === 'function'
  );
}
