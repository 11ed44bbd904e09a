import * as React from 'react';
import { IHostRecord, IHostTest, Leaving } from '../api/hosts';
import { ErrorNote, FactList } from '../components/basics';
import { useBacalhau } from '../components/context';
import { Meter } from '../components/Meter';
import { readable, readableLines } from '../format/text';
import { gpuProblems, meters, moment } from '../nodes/nodes';
import { change, remove, stopCopy } from './actions';
import { Cleaning } from './Cleaning';
import { factsOf, gpuLines, infoOf, lookOf, machineLine, otherLine, Verb, verbs } from './hosts';
import { RemoveQuestion } from './RemoveQuestion';
import { StepList } from './StepList';

/** So many containers of others are named; of more it is said that there are. */
const MOST_OTHERS = 20;

/** A Docker host: how the way there is, what it has, what runs there, and what can be done about it. */
export const HostCard = React.memo(function HostCard(props: {
  host: IHostRecord;
  changed: () => void;
}): JSX.Element {
  const { host } = props;
  const { trans } = useBacalhau();
  const name = readable(host.Name);
  const executions = host.Executions ?? 0;
  return (
    <li className="jp-Bacalhau-card" aria-label={trans.__('Host %1', name)}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={name}>
          {name}
        </span>
        {executions > 0 && <span>{trans._n('%1 job', '%1 jobs', executions)}</span>}
      </div>
      <HostHealth host={host} />
      {host.Progress && <HostCopy host={host} changed={props.changed} />}
      {host.State === 'Ready' && (
        <div className="jp-Bacalhau-meters">
          {meters(infoOf(host), trans).map(meter => (
            <Meter key={meter.kind} {...meter} />
          ))}
        </div>
      )}
      <HostGpus host={host} />
      <HostMachine host={host} />
      <HostFacts host={host} />
      <HostActions host={host} changed={props.changed} />
    </li>
  );
});

/** What is copied there, how far that is, and an end to it. */
function HostCopy(props: { host: IHostRecord; changed: () => void }): JSX.Element {
  const { host, changed } = props;
  const app = useBacalhau();
  const { trans } = app;
  const [busy, setBusy] = React.useState(false);
  const stop = async (): Promise<void> => {
    setBusy(true);
    await stopCopy(app, host);
    setBusy(false);
    changed();
  };
  return (
    <>
      <p className="jp-Bacalhau-message">{readable(host.Progress ?? '')}</p>
      <div className="jp-Bacalhau-buttons">
        <button
          type="button"
          className="jp-Bacalhau-button"
          aria-label={trans.__('Stop the copy to %1', readable(host.Name))}
          disabled={busy}
          onClick={() => void stop()}
        >
          {trans.__('Stop the copy')}
        </button>
      </div>
    </>
  );
}

function HostHealth(props: { host: IHostRecord }): JSX.Element {
  const { host } = props;
  const { trans } = useBacalhau();
  const look = lookOf(host.State, trans);
  const since = moment(host.Since);
  return (
    <div className="jp-Bacalhau-job-second">
      <span className="jp-Bacalhau-badge" data-state={look.like}>
        <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
          {look.sign}
        </span>
        {look.label}
      </span>
      {since && <span className="jp-Bacalhau-aside">{trans.__('since %1', since)}</span>}
      {host.Problem && <p className="jp-Bacalhau-message">{readableLines(host.Problem)}</p>}
      {host.Hint && <p className="jp-Bacalhau-hint">{readableLines(host.Hint)}</p>}
    </div>
  );
}

function HostGpus(props: { host: IHostRecord }): JSX.Element | null {
  const { host } = props;
  const { trans } = useBacalhau();
  const lines = gpuLines(host, trans);
  const missing = gpuProblems(infoOf(host));
  if (lines.length + missing.length === 0) {
    return null;
  }
  return (
    <ul className="jp-Bacalhau-lines" aria-label={trans.__('GPUs')}>
      {lines.map((line, at) => (
        <li key={at} data-off={line.held || line.isFree === false ? true : undefined}>
          {line.text}
          {line.held
            ? ` · ${trans.__('held by others')}`
            : line.isFree !== null && ` · ${line.isFree ? trans.__('free') : trans.__('in use')}`}
        </li>
      ))}
      {missing.map(problem => (
        <li key={problem.task} data-off={true}>
          {trans.__('%1: %2', problem.task, problem.message)}
        </li>
      ))}
    </ul>
  );
}

/** How the machine itself is, and what else runs there. */
function HostMachine(props: { host: IHostRecord }): JSX.Element | null {
  const { Facts: facts } = props.host;
  const { trans } = useBacalhau();
  const line = machineLine(facts, trans);
  const others = facts?.Others ?? [];
  const more = others.length - MOST_OTHERS;
  return (
    <>
      {line && <p className="jp-Bacalhau-hint">{trans.__('The machine: %1', line)}</p>}
      {others.length > 0 && (
        <details className="jp-Bacalhau-more">
          <summary>
            {trans._n(
              '%1 container of others runs there',
              '%1 containers of others run there',
              others.length
            )}
          </summary>
          <ul className="jp-Bacalhau-lines" aria-label={trans.__('What else runs there')}>
            {others.slice(0, MOST_OTHERS).map((other, at) => (
              <li key={at}>{otherLine(other, trans)}</li>
            ))}
            {more > 0 && <li>{trans.__('and %1 more', more)}</li>}
          </ul>
        </details>
      )}
    </>
  );
}

function HostFacts(props: { host: IHostRecord }): JSX.Element {
  const { host } = props;
  const { trans } = useBacalhau();
  const labels = Object.entries(host.Labels ?? {}).sort();
  return (
    <details className="jp-Bacalhau-more">
      <summary>{trans.__('Address, engine and more')}</summary>
      <FactList facts={factsOf(host, trans)} />
      {labels.length > 0 && (
        <ul className="jp-Bacalhau-labels" aria-label={trans.__('Labels')}>
          {labels.map(([key, value]) => (
            <li key={key}>{readable(value ? `${key}=${value}` : key)}</li>
          ))}
        </ul>
      )}
    </details>
  );
}

type Open = '' | 'test' | 'remove' | 'clean';

function HostActions(props: { host: IHostRecord; changed: () => void }): JSX.Element {
  const { host, changed } = props;
  const app = useBacalhau();
  const { trans } = app;
  const [open, setOpen] = React.useState<Open>('');
  const [busy, setBusy] = React.useState(false);
  const bar = React.useRef<HTMLDivElement>(null);
  const name = readable(host.Name);
  const words: Record<Verb, [string, string]> = {
    test: [trans.__('Test'), trans.__('Test %1', name)],
    retry: [trans.__('Try now'), trans.__('Try the way to %1 now', name)],
    pause: [trans.__('Pause'), trans.__('Pause %1: no new jobs there', name)],
    resume: [trans.__('Resume'), trans.__('Resume %1', name)],
    clean: [trans.__('Clean up…'), trans.__('Clean up %1…', name)],
    remove: [trans.__('Remove…'), trans.__('Remove %1…', name)]
  };
  const close = (verb: Verb): void => {
    setOpen('');
    // Who closes it goes on where it was opened.
    bar.current?.querySelector<HTMLElement>(`[data-verb="${verb}"]`)?.focus();
  };
  const work = async (deed: () => Promise<unknown>): Promise<void> => {
    setBusy(true);
    await deed();
    setBusy(false);
    changed();
  };
  const leave = (jobs: Leaving): Promise<void> =>
    work(async () => setOpen((await remove(app, host, jobs)) === 'asks' ? 'remove' : ''));
  const act = (verb: Verb): void => {
    switch (verb) {
      case 'test':
      case 'clean':
        setOpen(open === verb ? '' : verb);
        break;
      case 'remove':
        if (host.State === 'Removing') {
          setOpen('remove');
        } else {
          void leave('');
        }
        break;
      default:
        void work(() => change(app, host, verb));
    }
  };
  return (
    <>
      <div ref={bar} className="jp-Bacalhau-buttons">
        {verbs(host).map(verb => (
          <button
            key={verb}
            type="button"
            className="jp-Bacalhau-button"
            data-verb={verb}
            aria-label={words[verb][1]}
            aria-expanded={verb === 'test' || verb === 'clean' ? open === verb : undefined}
            disabled={busy}
            onClick={() => act(verb)}
          >
            {words[verb][0]}
          </button>
        ))}
      </div>
      {open === 'test' && <Trial name={host.Name} close={() => close('test')} />}
      {open === 'clean' && <Cleaning host={host} close={() => close('clean')} />}
      {open === 'remove' && (
        <RemoveQuestion host={host} answer={jobs => void leave(jobs)} close={() => close('remove')} />
      )}
    </>
  );
}

/** Tries the way to a host, step by step. */
function Trial(props: { name: string; close: () => void }): JSX.Element {
  const { name, close } = props;
  const { trans, api } = useBacalhau();
  const [test, setTest] = React.useState<IHostTest | null>(null);
  const [error, setError] = React.useState<unknown>(null);
  React.useEffect(() => {
    const controller = new AbortController();
    api.hosts.test(name, controller.signal).then(
      answer => !controller.signal.aborted && setTest(answer),
      (reason: unknown) => !controller.signal.aborted && setError(reason)
    );
    return () => controller.abort();
  }, [api, name]);
  return (
    <div
      className="jp-Bacalhau-note"
      role="group"
      aria-label={trans.__('Test of %1', readable(name))}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          close();
        }
      }}
    >
      <div role="status">
        {test === null && error === null && <p>{trans.__('Trying the way there…')}</p>}
        {test?.Ok === true && (
          <p>
            {trans.__('It works.')} {machineLine(test.Facts, trans)}
          </p>
        )}
        {test !== null && <StepList steps={test.Steps} />}
      </div>
      {error !== null && <ErrorNote error={error} />}
      <div className="jp-Bacalhau-buttons">
        <button type="button" className="jp-Bacalhau-button" onClick={close}>
          {trans.__('Close')}
        </button>
      </div>
    </div>
  );
}
