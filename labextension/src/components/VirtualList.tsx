import * as React from 'react';
import { keyInList } from './keys';
import { rowsInView, scrolledTo } from './window';

export interface IVirtualListProps {
  readonly count: number;
  /** Height of every row, in pixels. */
  readonly rowHeight: number;
  /** `lively` rows are active or under the pointer: only they need their controls. */
  readonly renderRow: (index: number, lively: boolean) => React.ReactNode;
  readonly rowKey?: (index: number) => string | number;
  readonly className?: string;
  readonly label: string;
  /** `grid` for rows with controls inside, `log` for lines of text. */
  readonly role: 'grid' | 'log';
  /** The active row of a grid, -1 without one. */
  readonly active?: number;
  /** A key leads to a row; with `extend` (Shift) everything up to there is meant. */
  readonly onActive?: (index: number, extend: boolean) => void;
  /** A click on a row: alone it opens, with Ctrl or Shift it picks. */
  readonly onPress?: (index: number, how: 'open' | 'toggle' | 'range') => void;
  /** The menu of a row is about to open. */
  readonly onMenu?: (index: number) => void;
  /** Whether a row is picked, of a list in which many can be. */
  readonly isPicked?: (index: number) => boolean;
  /** Whether a row that can be opened is; undefined for others. */
  readonly isExpanded?: (index: number) => boolean | undefined;
  /** Enter on the active row. */
  readonly onOpen?: (index: number) => void;
  /** Another key on the active row. */
  readonly onKey?: (event: React.KeyboardEvent, index: number) => void;
  /** Keep the end in view as long as the reader has not scrolled away from it. */
  readonly follow?: boolean;
  /** Bring this row into view when it changes. */
  readonly reveal?: number;
  readonly rowId?: (index: number) => string;
}

/** Browsers can't lay out boxes much higher than this. */
const HIGHEST = 10_000_000;

/** Shows the rows that are on screen, of a list of any length. */
export function VirtualList(props: IVirtualListProps): JSX.Element {
  const { count, rowHeight, follow, reveal } = props;
  const box = React.useRef<HTMLDivElement>(null);
  const atEnd = React.useRef(true);
  // In whole rows: the list is rendered again when another row comes into view, not for each pixel.
  const [firstRow, setFirstRow] = React.useState(0);
  const [hovered, setHovered] = React.useState(-1);
  const [height, setHeight] = React.useState(400);

  React.useLayoutEffect(() => {
    const node = box.current;
    if (node === null) {
      return;
    }
    setHeight(node.clientHeight || 400);
    if (typeof ResizeObserver === 'undefined') {
      return;
    }
    const observer = new ResizeObserver(() => setHeight(node.clientHeight));
    observer.observe(node);
    return () => observer.disconnect();
  }, []);

  React.useLayoutEffect(() => {
    if (follow && atEnd.current && box.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [count, follow, height]);

  const show = React.useCallback(
    (index: number): void => {
      const node = box.current;
      if (node === null || index < 0) {
        return;
      }
      node.scrollTop = scrolledTo(index, rowHeight, node.scrollTop, node.clientHeight);
    },
    [rowHeight]
  );

  React.useLayoutEffect(() => {
    if (reveal !== undefined) {
      show(reveal);
    }
  }, [reveal, show]);

  const onScroll = (event: React.UIEvent<HTMLDivElement>): void => {
    const node = event.currentTarget;
    if (follow !== undefined) {
      atEnd.current = node.scrollTop + node.clientHeight >= node.scrollHeight - rowHeight;
    }
    setFirstRow(Math.floor(node.scrollTop / rowHeight));
  };

  const { first, last } = rowsInView(firstRow, count, height, rowHeight);
  const rows: React.ReactNode[] = [];
  for (let index = first; index < last; index++) {
    rows.push(
      <Row key={props.rowKey?.(index) ?? index} index={index} list={props} onHover={setHovered}>
        {props.renderRow(index, index === props.active || index === hovered)}
      </Row>
    );
  }
  const active = props.active ?? -1;
  const grid = props.role === 'grid';
  return (
    <div
      ref={box}
      className={`jp-Bacalhau-list ${props.className ?? ''}`}
      role={props.role}
      aria-label={props.label}
      aria-live={grid ? undefined : 'off'}
      aria-rowcount={grid ? count : undefined}
      aria-multiselectable={grid && props.isPicked ? true : undefined}
      aria-activedescendant={grid && active >= first && active < last ? props.rowId?.(active) : undefined}
      tabIndex={0}
      onScroll={onScroll}
      onKeyDown={grid ? event => move(event, props, Math.floor(height / rowHeight), show) : undefined}
    >
      <div
        role="presentation"
        className="jp-Bacalhau-list-sizer"
        style={{ height: Math.min(HIGHEST, count * rowHeight) }}
      >
        <div role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}

function Row(props: {
  index: number;
  list: IVirtualListProps;
  onHover: (index: number) => void;
  children: React.ReactNode;
}): JSX.Element {
  const { index, list } = props;
  const style = { height: list.rowHeight };
  if (list.role !== 'grid') {
    return (
      <div className="jp-Bacalhau-list-row" style={style}>
        {props.children}
      </div>
    );
  }
  const active = index === list.active;
  const picked = list.isPicked?.(index) ?? false;
  return (
    <div
      id={list.rowId?.(index)}
      role="row"
      aria-rowindex={index + 1}
      aria-selected={list.isPicked ? picked : active}
      aria-expanded={list.isExpanded?.(index)}
      className={`jp-Bacalhau-list-row ${active ? 'jp-mod-active' : ''} ${picked ? 'jp-mod-picked' : ''}`}
      style={style}
      onMouseEnter={() => props.onHover(index)}
      onMouseLeave={() => props.onHover(-1)}
      onClick={event =>
        list.onPress?.(index, event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'open')
      }
      onContextMenu={() => list.onMenu?.(index)}
    >
      <div role="gridcell" className="jp-Bacalhau-list-cell">
        {props.children}
      </div>
    </div>
  );
}

function move(
  event: React.KeyboardEvent,
  list: IVirtualListProps,
  page: number,
  show: (index: number) => void
): void {
  const active = list.active ?? -1;
  const index = keyInList(event.key, active, list.count, page);
  if (index !== null) {
    event.preventDefault();
    list.onActive?.(index, event.shiftKey);
    show(index);
  } else if (event.key === 'Enter' && active >= 0 && event.target === event.currentTarget) {
    event.preventDefault();
    list.onOpen?.(active);
  } else if (active >= 0) {
    list.onKey?.(event, active);
  }
}
