import { copyIcon, pasteIcon, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IDataEntry } from '../api/data';
import { EmptyNote, ErrorNote, IconButton } from '../components/basics';
import { useBacalhau, useObservable, usePageVisible } from '../components/context';
import { HealthNote } from '../components/HealthNote';
import { DataBrowser } from './browser';
import { flagOf, isAddress } from './input';
import { chosenOf, rowsOf, step, TreeRow } from './tree';
import { DataRow, rowId } from './DataRow';

/** How a file beside the notebook gets into a job. */
export const OWN_FILE = '%%bacalhau sh -i data.csv\nhead inputs/data.csv';

/** What the connected node could read inputs from, place by place. */
export function DataTab(props: { browser: DataBrowser }): JSX.Element {
  const { browser } = props;
  const { trans, sync } = useBacalhau();
  const health = useObservable(sync.health);
  const healthy = health.kind === 'ok' || health.kind === 'mismatch';
  const inFront = usePageVisible();
  const generation = useObservable(sync.generation);
  React.useEffect(() => (inFront ? sync.acquire('active') : undefined), [sync, inFront]);
  React.useEffect(() => {
    if (healthy) {
      browser.start();
    }
  }, [browser, healthy, generation]);
  const tree = useObservable(browser.tree);
  const rows = React.useMemo(() => rowsOf(tree), [tree]);
  const [activeKey, setActiveKey] = React.useState('');
  const active = Math.max(
    0,
    rows.findIndex(row => row.key === activeKey)
  );
  const row = rows[active];
  const places = tree.branches.get('');
  const none = places !== undefined && !places.loading && !places.error && rows[0]?.kind === 'empty';
  return (
    <div className="jp-Bacalhau-fill">
      <AddressBar browser={browser} onVisit={uri => setActiveKey(`\n${uri}`)} />
      <HealthNote />
      {none ? (
        <EmptyNote>
          <p>{trans.__('This node has no folders or buckets to list. A job can have your own files:')}</p>
          <pre className="jp-Bacalhau-sample">{OWN_FILE}</pre>
          <p>{trans.__('Data of a bucket or of IPFS is found by its address, above.')}</p>
        </EmptyNote>
      ) : (
        <Tree rows={rows} active={active} onActive={setActiveKey} browser={browser} />
      )}
      {rows.length > 0 && !none && <Chosen entry={chosenOf(tree, row)} />}
    </div>
  );
}

function Tree(props: {
  rows: readonly TreeRow[];
  active: number;
  onActive: (key: string) => void;
  browser: DataBrowser;
}): JSX.Element {
  const { rows, active, onActive, browser } = props;
  const { trans, host } = useBacalhau();
  const box = React.useRef<HTMLDivElement>(null);
  const focus = (index: number): void => {
    const row = rows[index];
    if (row) {
      onActive(row.key);
      box.current?.querySelector<HTMLElement>(`#${rowId(row)}`)?.focus();
    }
  };
  const act = (row: TreeRow): void => {
    if (row.kind === 'more') {
      browser.more(row.parent);
    } else if (row.kind === 'error') {
      void browser.load(row.parent);
    } else if (row.kind === 'entry') {
      if (row.entry.Kind === 'directory') {
        browser.toggle(row.entry.URI);
      } else {
        host.insertText?.(flagOf(row.entry));
      }
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const row = rows[active];
    const onRow = event.target instanceof HTMLElement && event.target.getAttribute('role') === 'treeitem';
    if (!onRow || event.altKey || event.ctrlKey || event.metaKey || row === undefined) {
      return;
    }
    const action = step(rows, active, event.key);
    if (action !== null) {
      event.preventDefault();
      if ('to' in action) {
        focus(action.to);
      } else if ('open' in action) {
        browser.open(action.open);
      } else {
        browser.toggle(action.close);
      }
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      act(row);
    }
  };
  return (
    <div
      ref={box}
      className="jp-Bacalhau-tree"
      role="tree"
      aria-label={trans.__('Data that jobs can read')}
      onKeyDown={onKeyDown}
    >
      {rows.map((row, at) => (
        <DataRow
          key={row.key}
          row={row}
          active={at === active}
          onActive={() => onActive(row.key)}
          onAct={() => act(row)}
        />
      ))}
    </div>
  );
}

/** What the chosen entry is as an input, and what can be done with it: all that the mouse does by dragging. */
function Chosen(props: { entry: IDataEntry | null }): JSX.Element {
  const { entry } = props;
  const { trans, host } = useBacalhau();
  const [notice, setNotice] = React.useState('');
  const flag = entry === null ? '' : flagOf(entry);
  React.useEffect(() => setNotice(''), [flag]);
  if (flag === '') {
    // Always there: what comes and goes would move the lines while somebody clicks them.
    return (
      <div className="jp-Bacalhau-chosen jp-Bacalhau-hint">
        {host.insertText
          ? trans.__('Drag data into a cell, or choose it here.')
          : trans.__('Choose data to copy it as an input.')}
      </div>
    );
  }
  return (
    <div className="jp-Bacalhau-chosen" role="group" aria-label={trans.__('The chosen data as an input')}>
      <code title={flag}>{flag}</code>
      {host.insertText && (
        <IconButton
          icon={pasteIcon}
          label={trans.__('Insert into the active cell')}
          onClick={() => setNotice(host.insertText?.(flag) ? trans.__('Inserted') : '')}
        />
      )}
      <IconButton
        icon={copyIcon}
        label={trans.__('Copy as input')}
        onClick={() => {
          host.copy(flag);
          setNotice(trans.__('Copied'));
        }}
      />
      <span className="jp-Bacalhau-count" role="status">
        {notice}
      </span>
    </div>
  );
}

function AddressBar(props: { browser: DataBrowser; onVisit: (uri: string) => void }): JSX.Element {
  const { trans } = useBacalhau();
  const [text, setText] = React.useState('');
  const [wrong, setWrong] = React.useState(false);
  const visit = (event: React.FormEvent): void => {
    event.preventDefault();
    const uri = text.trim();
    const known = isAddress(uri);
    setWrong(!known);
    if (known) {
      props.browser.visit(uri);
      props.onVisit(uri);
      setText('');
    }
  };
  return (
    <>
      <form className="jp-Bacalhau-filter" onSubmit={visit}>
        <input
          className="jp-mod-styled"
          type="text"
          spellCheck={false}
          placeholder={trans.__('s3://…, ipfs://…, file:///…')}
          aria-label={trans.__('Go to an address')}
          aria-invalid={wrong}
          value={text}
          onChange={event => {
            setText(event.target.value);
            setWrong(false);
          }}
        />
        <IconButton
          icon={refreshIcon}
          label={trans.__('Read the data again')}
          onClick={() => props.browser.refresh()}
        />
      </form>
      {wrong && (
        <ErrorNote error={new Error(trans.__('An address begins with s3://, ipfs:// or file:///.'))} />
      )}
    </>
  );
}
