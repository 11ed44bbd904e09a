import * as React from 'react';
import { IHostRecord, Leaving } from '../api/hosts';
import { useBacalhau } from '../components/context';
import { readable } from '../format/text';

/** What becomes of the jobs of a host that goes: a question with three answers, and a way back. */
export function RemoveQuestion(props: {
  host: IHostRecord;
  answer: (jobs: Exclude<Leaving, ''>) => void;
  close: () => void;
}): JSX.Element {
  const { host, answer, close } = props;
  const { trans } = useBacalhau();
  const root = React.useRef<HTMLDivElement>(null);
  const id = React.useId();
  React.useEffect(() => root.current?.querySelector<HTMLElement>('button')?.focus(), []);
  const many = host.Executions ?? 0;
  // How many are there is not always known.
  const count = many || 2;
  const button = (label: string, title: string, jobs: Exclude<Leaving, ''>): JSX.Element => (
    <button type="button" className="jp-Bacalhau-button" title={title} onClick={() => answer(jobs)}>
      {label}
    </button>
  );
  return (
    <div
      ref={root}
      className="jp-Bacalhau-note"
      role="group"
      aria-labelledby={id}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          close();
        }
      }}
    >
      <p id={id}>
        {many > 0
          ? trans._n('%1 job is on %2.', '%1 jobs are on %2.', many, readable(host.Name))
          : trans.__('There are jobs on %1.', readable(host.Name))}{' '}
        {trans._n('What becomes of it?', 'What becomes of them?', count)}
      </p>
      <div className="jp-Bacalhau-buttons">
        {button(
          trans._n('Wait for it', 'Wait for them', count),
          trans._n(
            'No new ones; the host goes when this one has ended',
            'No new ones; the host goes when these have ended',
            count
          ),
          'wait'
        )}
        {button(
          trans._n('Cancel it', 'Cancel them', count),
          trans._n(
            'It is stopped, and the host goes then',
            'They are stopped, and the host goes then',
            count
          ),
          'cancel'
        )}
        {button(
          trans._n('Leave it there', 'Leave them there', count),
          trans._n(
            'It goes on there, nobody collects its results, and the job may run again elsewhere',
            'They go on there, nobody collects their results, and the jobs may run again elsewhere',
            count
          ),
          'leave'
        )}
        <button type="button" className="jp-Bacalhau-button" onClick={close}>
          {trans.__('Keep the host')}
        </button>
      </div>
    </div>
  );
}
