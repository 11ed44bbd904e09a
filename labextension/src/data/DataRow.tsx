import {
  caretDownIcon,
  caretRightIcon,
  copyIcon,
  fileIcon,
  folderIcon,
  pasteIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau } from '../components/context';
import { bytes } from '../format/units';
import { flagOf, INPUT_MIME, isInput } from './input';
import { TreeRow } from './tree';
import { readable } from '../format/text';

/** The id of a row's element: made of its key, which may hold anything. */
export function rowId(row: TreeRow): string {
  return `jp-bacalhau-data-${Array.from(row.key, character => character.codePointAt(0)?.toString(36)).join('_')}`;
}

interface IRowProps {
  readonly row: TreeRow;
  readonly active: boolean;
  readonly onActive: () => void;
  readonly onAct: () => void;
}

/** One line of the tree. */
export function DataRow(props: IRowProps): JSX.Element {
  const { row, active, onActive, onAct } = props;
  const { trans } = useBacalhau();
  const isEntry = row.kind === 'entry';
  const isDirectory = isEntry && row.entry.Kind === 'directory';
  const canDrag = isEntry && isInput(row.entry);
  return (
    <div
      id={rowId(row)}
      role="treeitem"
      aria-level={row.level}
      aria-expanded={isDirectory ? row.open : undefined}
      aria-selected={active}
      aria-setsize={isEntry ? row.size : undefined}
      aria-posinset={isEntry ? row.position : undefined}
      tabIndex={active ? 0 : -1}
      className={`jp-Bacalhau-data ${active ? 'jp-mod-active' : ''}`}
      style={{ paddingLeft: `${8 + 14 * (row.level - 1)}px` }}
      data-kind={row.kind}
      title={isEntry ? row.entry.URI : undefined}
      draggable={canDrag}
      onFocus={onActive}
      onClick={() => {
        onActive();
        if (isDirectory || row.kind === 'more' || row.kind === 'error') {
          onAct();
        }
      }}
      onDragStart={event => {
        if (canDrag) {
          event.dataTransfer.setData('text/plain', flagOf(row.entry));
          event.dataTransfer.setData(INPUT_MIME, flagOf(row.entry));
          event.dataTransfer.effectAllowed = 'copy';
        }
      }}
    >
      {isEntry ? (
        <Entry row={row} />
      ) : row.kind === 'error' ? (
        <span role="alert" className="jp-Bacalhau-data-note">
          {row.error.message}
          {row.error.hint && ` (${row.error.hint})`}
        </span>
      ) : (
        <span className="jp-Bacalhau-data-note">
          {
            { more: trans.__('More…'), loading: trans.__('Loading…'), empty: trans.__('Nothing here') }[
              row.kind
            ]
          }
        </span>
      )}
    </div>
  );
}

function Entry(props: { row: TreeRow & { kind: 'entry' } }): JSX.Element {
  const { entry, open } = props.row;
  const { trans, host } = useBacalhau();
  const isDirectory = entry.Kind === 'directory';
  const Icon = isDirectory ? folderIcon : fileIcon;
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <>
      {isDirectory ? (
        <Caret.react tag="span" elementSize="small" aria-hidden="true" />
      ) : (
        <span className="jp-Bacalhau-data-gap" />
      )}
      <Icon.react tag="span" elementSize="normal" aria-hidden="true" />
      <span className="jp-Bacalhau-data-name" title={readable(entry.Name)}>
        {readable(entry.Name)}
      </span>
      {entry.Writable && <span className="jp-Bacalhau-aside">{trans.__('writable')}</span>}
      {isInput(entry) && (
        <span className="jp-Bacalhau-data-actions">
          {host.insertText && (
            <IconButton
              icon={pasteIcon}
              label={trans.__('Insert %1 into the active cell', readable(entry.Name))}
              tabIndex={-1}
              onClick={() => host.insertText?.(flagOf(entry))}
            />
          )}
          <IconButton
            icon={copyIcon}
            label={trans.__('Copy %1 as input', readable(entry.Name))}
            tabIndex={-1}
            onClick={() => host.copy(flagOf(entry))}
          />
        </span>
      )}
      {!isDirectory && <span className="jp-Bacalhau-size">{bytes(entry.Size ?? 0)}</span>}
    </>
  );
}
