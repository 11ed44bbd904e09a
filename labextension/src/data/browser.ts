import { DataApi } from '../api/data';
import { asApiError } from '../api/errors';
import { Observable } from '../store/signal';
import { ITree, NO_TREE, reduceTree, TreeAction } from './tree';

/** Looks into places, one page at a time, and remembers what it saw. */
export class DataBrowser {
  readonly tree = new Observable<ITree>(NO_TREE);
  /** Answers to questions from before a reset belong to nobody. */
  private epoch = 0;

  constructor(private readonly api: DataApi) {}

  /** Read the places, unless that was done. */
  start(): void {
    if (!this.tree.get().branches.has('')) {
      void this.load('');
    }
  }

  /** Forget everything and begin again. */
  reset(): void {
    this.epoch += 1;
    this.take({ type: 'reset' });
  }

  /** Read again whatever is open. */
  refresh(): void {
    const { open } = this.tree.get();
    ['', ...open].forEach(uri => void this.load(uri));
  }

  toggle(uri: string): void {
    if (this.tree.get().open.has(uri)) {
      this.take({ type: 'close', uri });
    } else {
      this.open(uri);
    }
  }

  open(uri: string): void {
    this.take({ type: 'open', uri });
    const known = this.tree.get().branches.get(uri);
    if (known === undefined || known.error !== null) {
      void this.load(uri);
    }
  }

  /** Show an address that a person typed. */
  visit(uri: string): void {
    this.take({ type: 'typed', uri });
    this.open(uri);
  }

  /** Read the next page. */
  more(uri: string): void {
    const branch = this.tree.get().branches.get(uri);
    if (branch?.next && !branch.loading) {
      void this.load(uri, branch.next);
    }
  }

  async load(uri: string, token = ''): Promise<void> {
    const { epoch } = this;
    const take = (action: TreeAction): void => {
      if (epoch === this.epoch) {
        this.take(action);
      }
    };
    take({ type: 'loading', uri });
    try {
      take({ type: 'page', uri, page: await this.api.list(uri, token), first: token === '' });
    } catch (reason) {
      take({ type: 'failed', uri, error: asApiError(reason) });
    }
  }

  private take(action: TreeAction): void {
    this.tree.set(reduceTree(this.tree.get(), action));
  }
}
