import { ReactWidget } from '@jupyterlab/apputils';
import { Message } from '@lumino/messaging';
import * as React from 'react';
import { BacalhauContext } from '../components/context';
import { bacalhauIcon } from '../icon';
import { JobDetails } from '../jobs/JobDetails';
import { Observable } from '../store/signal';
import { IBacalhau } from '../tokens';
import { Panel } from './Panel';

/** Shows our components, but only while it is on screen: what is hidden is not even mounted. */
export abstract class VisibleWidget extends ReactWidget {
  /** Whether this is on screen. */
  readonly shown = new Observable<boolean>(false);
  private focusSoon = false;

  constructor(protected readonly app: IBacalhau) {
    super();
    this.addClass('jp-Bacalhau');
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.noteVisibility();
  }

  protected override onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this.noteVisibility();
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.noteVisibility();
  }

  protected override onBeforeDetach(message: Message): void {
    this.shown.set(false);
    super.onBeforeDetach(message);
  }

  protected override onActivateRequest(_: Message): void {
    // What has just come on screen is drawn a moment later.
    this.focusSoon = !this.focusFirst();
    if (this.focusSoon) {
      this.node.focus();
    }
  }

  private focusFirst(): boolean {
    const first = this.node.querySelector<HTMLElement>('[role=tab][aria-selected=true], input, [role=grid]');
    first?.focus();
    return first !== null;
  }

  private readonly drawn = (): void => {
    if (this.focusSoon) {
      // Whoever has moved on meanwhile is not called back.
      const at = document.activeElement;
      this.focusSoon = (at === null || at === document.body || at === this.node) && !this.focusFirst();
    }
  };

  protected abstract content(): React.ReactElement;

  protected render(): React.ReactElement {
    if (!this.shown.get()) {
      return <></>;
    }
    return (
      <BacalhauContext.Provider value={this.app}>
        {this.content()}
        <Drawn then={this.drawn} />
      </BacalhauContext.Provider>
    );
  }

  private noteVisibility(): void {
    if (this.shown.get() !== this.isVisible) {
      this.shown.set(this.isVisible);
      this.update();
    }
  }
}

/** Calls back once, when what stands before it has been drawn. */
function Drawn(props: { then: () => void }): null {
  const { then } = props;
  React.useEffect(then, [then]);
  return null;
}

/** The side panel. */
export class PanelWidget extends VisibleWidget {
  constructor(app: IBacalhau) {
    super(app);
    this.id = 'bacalhau-panel';
    this.title.icon = bacalhauIcon;
    this.title.caption = app.trans.__('Bacalhau');
    this.node.setAttribute('role', 'complementary');
    this.node.setAttribute('aria-label', app.trans.__('Bacalhau'));
    this.node.tabIndex = -1;
  }

  protected content(): React.ReactElement {
    return <Panel />;
  }
}

/** One job in a place of its own. */
export class JobWidget extends VisibleWidget {
  constructor(
    app: IBacalhau,
    readonly job: string
  ) {
    super(app);
    this.addClass('jp-Bacalhau-main');
  }

  protected content(): React.ReactElement {
    return <LiveDetails app={this.app} job={this.job} />;
  }
}

function LiveDetails(props: { app: IBacalhau; job: string }): JSX.Element {
  const { app, job } = props;
  React.useEffect(() => app.sync.acquire('active'), [app]);
  return <JobDetails job={job} part="logs" />;
}
