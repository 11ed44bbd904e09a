import * as React from 'react';

/** How much of something is taken, as a bar and in words. */
export function Meter(props: { label: string; used: number; total: number; text: string }): JSX.Element {
  const { label, used, total, text } = props;
  const part = total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
  return (
    <div
      className="jp-Bacalhau-meter"
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={used}
      aria-valuetext={text}
      data-full={part > 0.9 ? true : undefined}
    >
      <span className="jp-Bacalhau-meter-label">{label}</span>
      <span className="jp-Bacalhau-meter-bar">
        <span style={{ width: `${(100 * part).toFixed(1)}%` }} />
      </span>
      <span className="jp-Bacalhau-meter-text">{text}</span>
    </div>
  );
}
