import { caretDownIcon, caretUpIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { useBacalhau } from '../components/context';
import { IconButton } from '../components/basics';
import { VirtualList } from '../components/VirtualList';
import { nextFrame } from '../store/store';
import { spans } from './ansi';
import { ILine, LogBuffer } from './buffer';
import { matchAt, stepped } from './search';
import { LogState, LogStream } from './stream';

const ROW_HEIGHT = 17;
/** The search above the lines, with room for a scroll bar below them. */
const BAR_HEIGHT = 50;
const LEAST_ROWS = 3;

/** The live output of a job: coloured, searchable, stderr marked, never more in memory than the settings say. */
export function LogView(props: {
  job: string;
  execution?: string;
  version?: number;
  /** Where the surroundings give no height: as high as its lines, and not higher than this. */
  mostHeight?: number;
  onHeight?: (height: number) => void;
}): JSX.Element {
  const { trans, settings } = useBacalhau();
  const { buffer, state, version } = useLog(
    { job: props.job, execution: props.execution ?? '', version: props.version ?? 0 },
    settings.get().logLines
  );
  const [query, setQuery] = React.useState('');
  const [hit, setHit] = React.useState(0);
  // Searching all lines on each frame would cost too much; new lines are found with the next query or step.
  const counted = query ? Math.floor(version / 20) : 0;
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const hits = React.useMemo(() => buffer.find(query), [buffer, query, counted]);
  const at = matchAt(hits, hit);
  const current = hits[at];
  const { mostHeight, onHeight } = props;
  const rows = Math.max(LEAST_ROWS, buffer.length + (buffer.dropped > 0 ? 1 : 0));
  const height = mostHeight && Math.min(mostHeight, BAR_HEIGHT + rows * ROW_HEIGHT);
  React.useLayoutEffect(() => {
    onHeight?.(height ?? 0);
  }, [onHeight, height]);
  const step = (by: 1 | -1): void => setHit(stepped(hits, hit, by));
  return (
    <div className="jp-Bacalhau-logs" style={{ height, flex: height && 'none' }}>
      <div className="jp-Bacalhau-logs-bar" role="search">
        <input
          className="jp-mod-styled"
          type="search"
          placeholder={trans.__('Search the log')}
          aria-label={trans.__('Search the log')}
          value={query}
          onChange={event => {
            setQuery(event.target.value);
            setHit(0);
          }}
          onKeyDown={event => {
            if (event.key === 'Enter') {
              step(event.shiftKey ? -1 : 1);
            }
          }}
        />
        {query && (
          <>
            <span role="status">{hits.length ? `${at + 1}/${hits.length}` : trans.__('not found')}</span>
            <IconButton icon={caretUpIcon} label={trans.__('Previous match')} onClick={() => step(-1)} />
            <IconButton icon={caretDownIcon} label={trans.__('Next match')} onClick={() => step(1)} />
          </>
        )}
        <span className="jp-Bacalhau-logs-state" role="status">
          {stateText(state, trans)}
        </span>
      </div>
      {buffer.dropped > 0 && (
        <div className="jp-Bacalhau-hint">
          {trans.__('%1 earlier lines are not kept here; "bacalhau job logs" shows all.', buffer.dropped)}
        </div>
      )}
      <VirtualList
        role="log"
        label={trans.__('Output of the job')}
        className="jp-Bacalhau-logs-lines"
        count={buffer.length}
        rowHeight={ROW_HEIGHT}
        follow={!query}
        reveal={query ? current : undefined}
        renderRow={index => <Line line={buffer.at(index)} isHit={query !== '' && index === current} />}
      />
    </div>
  );
}

function Line(props: { line: ILine | undefined; isHit: boolean }): JSX.Element | null {
  const { line } = props;
  if (line === undefined) {
    return null;
  }
  return (
    <div className={`jp-Bacalhau-line ${props.isHit ? 'jp-mod-hit' : ''}`} data-stream={line.stream}>
      {line.stream === 2 && (
        <span className="jp-Bacalhau-line-mark" title="stderr" role="img" aria-label="stderr" />
      )}
      {spans(line.text).map((span, index) => (
        <span key={index} className={span.classes || undefined}>
          {span.text}
        </span>
      ))}
    </div>
  );
}

function useLog(
  source: { job: string; execution: string; version: number },
  limit: number
): { buffer: LogBuffer; state: LogState; version: number } {
  const { api } = useBacalhau();
  const { job, execution, version } = source;
  const buffer = React.useMemo(() => new LogBuffer(limit), [job, execution, version, limit]); // eslint-disable-line react-hooks/exhaustive-deps
  const [shown, setShown] = React.useState<{ state: LogState; version: number }>({
    state: 'connecting',
    version: 0
  });
  React.useEffect(() => {
    let waiting = false;
    let gone = false;
    const stream = new LogStream(
      api.transport,
      job,
      buffer,
      () => {
        if (!waiting) {
          waiting = true;
          nextFrame(() => {
            waiting = false;
            if (!gone) {
              setShown(before => ({ state: stream.state, version: before.version + 1 }));
            }
          });
        }
      },
      execution,
      version
    );
    buffer.clear();
    stream.open();
    return () => {
      gone = true;
      stream.close();
    };
  }, [api, job, execution, version, buffer]);
  return { buffer, ...shown };
}

function stateText(state: LogState, trans: { __(text: string): string }): string {
  switch (state) {
    case 'connecting':
      return trans.__('connecting…');
    case 'open':
      return trans.__('live');
    case 'waiting':
      return trans.__('reconnecting…');
    case 'complete':
      return trans.__('complete');
    case 'closed':
      return '';
  }
}
