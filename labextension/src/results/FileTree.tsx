import { downloadIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IFileRef, IListing } from '../api/files';
import { useBacalhau } from '../components/context';
import { bytes } from '../format/units';
import { readable } from '../format/text';
import { isInside, isPlain } from './paths';
import { extended, IBranch, ILine, lines, openAtFirst, step, toggled, treeOf } from './tree';

/** The files of one result, with the keyboard of the ARIA pattern: arrows move, open and close, Enter opens. */
export function FileTree(props: {
  job: string;
  listing: IListing;
  onOpen: (ref: IFileRef, size: number) => void;
}): JSX.Element {
  const { job, listing, onOpen } = props;
  const { trans } = useBacalhau();
  const top = React.useMemo(() => treeOf(listing.Files ?? []), [listing]);
  const [open, setOpen] = React.useState<ReadonlyMap<string, number>>(() => openAtFirst(top));
  const [active, setActive] = React.useState(0);
  const list = React.useRef<HTMLUListElement>(null);
  const shown = React.useMemo(() => lines(top, open), [top, open]);
  const enter = (line: ILine): void => {
    const { branch, more } = line;
    if (more > 0) {
      setOpen(extended(open, line));
    } else if (branch.file === null) {
      setOpen(toggled(open, branch));
    } else if (canOpen(branch)) {
      onOpen({ job, execution: listing.ExecutionID, path: branch.path }, branch.file.Size ?? 0);
    }
  };
  const move = (to: number): void => {
    setActive(to);
    list.current?.querySelectorAll<HTMLElement>('[role=treeitem]')[to]?.focus();
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const line = shown[active];
    if (line === undefined || (event.target as HTMLElement).tagName === 'A') {
      return;
    }
    const action = event.key === 'Enter' ? null : step(shown, open, active, event.key);
    if (action === null && event.key !== 'Enter') {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (action === null) {
      enter(line);
    } else if ('to' in action) {
      move(action.to);
    } else {
      setOpen(toggled(open, action.toggle));
    }
  };
  return (
    <ul
      className="jp-Bacalhau-files"
      role="tree"
      aria-label={trans.__('Files of the result')}
      ref={list}
      onKeyDown={onKeyDown}
    >
      {shown.map((line, index) => (
        <Row
          key={`${line.more > 0 ? 'more' : line.branch.file === null ? 'directory' : 'file'} ${line.branch.path}`}
          job={job}
          execution={listing.ExecutionID}
          line={line}
          isOpen={open.has(line.branch.path)}
          isActive={index === Math.min(active, shown.length - 1)}
          onClick={() => {
            setActive(index);
            enter(line);
          }}
        />
      ))}
    </ul>
  );
}

function Row(props: {
  job: string;
  execution: string;
  line: ILine;
  isOpen: boolean;
  isActive: boolean;
  onClick: () => void;
}): JSX.Element {
  const { line, job, execution } = props;
  const { branch, depth, more } = line;
  const { trans, api } = useBacalhau();
  const { file } = branch;
  const name = readable(branch.name);
  const inside = isInside(branch.path);
  const plain = isPlain(branch.path);
  return (
    <li
      role="treeitem"
      aria-level={depth + 1}
      aria-expanded={more === 0 && file === null ? props.isOpen : undefined}
      aria-selected={props.isActive}
      tabIndex={props.isActive ? 0 : -1}
      style={{ paddingInlineStart: `${depth * 14 + 4}px` }}
      title={
        plain
          ? name
          : inside
            ? trans.__('This name holds characters that can’t be seen; it is not opened.')
            : trans.__('This name could lead elsewhere; it is not opened.')
      }
      data-kind={more > 0 ? 'more' : file === null ? 'directory' : (file.Kind ?? 'file')}
      onClick={props.onClick}
    >
      {more > 0 ? (
        <span>{trans.__('%1 more…', more)}</span>
      ) : (
        <>
          <span aria-hidden="true" className="jp-Bacalhau-files-sign">
            {file === null ? (props.isOpen ? '▾' : '▸') : ''}
          </span>
          <span className="jp-Bacalhau-files-name">
            {name}
            {file?.Kind === 'link' && ` → ${readable(file.Target ?? '')}`}
          </span>
          {file !== null && file.Kind !== 'link' && (
            <>
              <span className="jp-Bacalhau-duration">{bytes(file.Size ?? 0)}</span>
              {inside && (
                <a
                  className="jp-Bacalhau-iconButton"
                  href={api.files.url({ job, execution, path: branch.path })}
                  download={name}
                  title={trans.__('Download')}
                  aria-label={trans.__('Download %1', name)}
                  tabIndex={props.isActive ? 0 : -1}
                  onClick={event => event.stopPropagation()}
                >
                  <downloadIcon.react tag="span" elementSize="normal" aria-hidden="true" />
                </a>
              )}
            </>
          )}
        </>
      )}
    </li>
  );
}

function canOpen(branch: IBranch): boolean {
  return branch.file !== null && branch.file.Kind !== 'link' && isPlain(branch.path);
}
