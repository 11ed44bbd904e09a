import { listIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau } from '../components/context';
import { outcomeLabel } from '../format/outcomes';
import { readable, readableLines } from '../format/text';
import { duration } from '../format/units';
import { countsText } from '../many/rows';
import { IJobEntry } from '../store/state';
import { IPart, partsOf } from './parts';
import { IRecord } from './record';

/** The parts of one job: how each of them stands, and its log. */
export function Parts(props: {
  parts: readonly IPart[];
  /** The execution whose log is open; empty for none. */
  open: string;
  /** Opens or closes the log of an execution; missing where no cluster can be asked. */
  onLog: ((execution: string) => void) | undefined;
}): JSX.Element {
  const { trans } = useBacalhau();
  const { parts } = props;
  return (
    <div className="jp-Bacalhau-many" role="group" aria-label={trans.__('Parts of the job')}>
      <div className="jp-Bacalhau-hint">{countsText(parts, trans)}</div>
      <table>
        <tbody>
          {parts.map((part, index) => (
            <Row key={index} part={part} isOpen={props.open === part.execution} onLog={props.onLog} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row(props: {
  part: IPart;
  isOpen: boolean;
  onLog: ((execution: string) => void) | undefined;
}): JSX.Element {
  const { trans } = useBacalhau();
  const { part, onLog } = props;
  const label = readable(part.label);
  const words = part.exitCode
    ? trans.__('exit %1', part.exitCode)
    : part.refused
      ? trans.__('refused')
      : outcomeLabel(part.outcome, trans);
  return (
    <tr>
      <td>{label}</td>
      <td>
        <span className="jp-Bacalhau-badge" data-outcome={part.outcome}>
          {words}
        </span>
      </td>
      <td>{part.durationMs === null ? '' : duration(part.durationMs)}</td>
      <td>
        {part.execution && onLog && (
          <IconButton
            icon={listIcon}
            label={trans.__('Log of %1', label)}
            pressed={props.isOpen}
            onClick={() => onLog(part.execution)}
          />
        )}
        {part.error && <span className="jp-Bacalhau-message">{readableLines(part.error)}</span>}
      </td>
    </tr>
  );
}

/** How the parts of a job stand: as the cluster says it, else as it was stored. */
export function useParts(record: IRecord, entry: IJobEntry | undefined, visible: boolean): readonly IPart[] {
  const { sync, trans } = useBacalhau();
  const hasParts = entry !== undefined && ((entry.job.Count ?? 1) > 1 || entry.job.Type === 'ops');
  const unknown = hasParts && entry.executions === null;
  React.useEffect(() => {
    if (visible && unknown) {
      sync.wantExecutions(record.job);
    }
  }, [sync, visible, unknown, record.job]);
  // Each event forgets what was read; until it is read again the rows stay.
  const last = React.useRef<readonly IPart[]>(record.parts);
  if (hasParts && entry.executions !== null) {
    last.current = partsOf(entry.job, entry.executions, trans);
  }
  return hasParts ? last.current : record.parts;
}
