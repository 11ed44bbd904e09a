import * as React from 'react';

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
  readonly onActive?: (index: number) => void;
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

const OVERSCAN = 6;
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
      if (index * rowHeight < node.scrollTop) {
        node.scrollTop = index * rowHeight;
      } else if ((index + 1) * rowHeight > node.scrollTop + node.clientHeight) {
        node.scrollTop = (index + 1) * rowHeight - node.clientHeight;
      }
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

  const first = Math.max(0, firstRow - OVERSCAN);
  const last = Math.min(count, firstRow + 1 + Math.ceil(height / rowHeight) + OVERSCAN);
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
  return (
    <div
      id={list.rowId?.(index)}
      role="row"
      aria-rowindex={index + 1}
      aria-selected={active}
      className={`jp-Bacalhau-list-row ${active ? 'jp-mod-active' : ''}`}
      style={style}
      onMouseEnter={() => props.onHover(index)}
      onMouseLeave={() => props.onHover(-1)}
      onClick={() => list.onActive?.(index)}
      onDoubleClick={() => list.onOpen?.(index)}
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
  const steps: Record<string, number> = {
    ArrowDown: active + 1,
    ArrowUp: active - 1,
    PageDown: active + page,
    PageUp: active - page,
    Home: 0,
    End: list.count - 1
  };
  const target = steps[event.key];
  if (target !== undefined && list.count > 0) {
    const index = Math.max(0, Math.min(list.count - 1, target));
    event.preventDefault();
    list.onActive?.(index);
    show(index);
  } else if (event.key === 'Enter' && active >= 0 && event.target === event.currentTarget) {
    event.preventDefault();
    list.onOpen?.(active);
  } else if (active >= 0) {
    list.onKey?.(event, active);
  }
}
