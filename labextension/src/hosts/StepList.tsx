import * as React from 'react';
import { IHostStep } from '../api/hosts';
import { useBacalhau } from '../components/context';
import { readable, readableLines } from '../format/text';

/** How a trial of a host went, step by step: what works, what does not and what can be done about it. */
export function StepList(props: {
  steps: readonly IHostStep[] | null | undefined;
  withoutHints?: boolean;
}): JSX.Element {
  const { trans } = useBacalhau();
  return (
    <ol className="jp-Bacalhau-steps" aria-label={trans.__('Steps of the test')}>
      {(props.steps ?? []).map((step, at) => {
        const [sign, word, kind] =
          step.Ok === true
            ? ['✓', trans.__('works'), 'ok']
            : step.Ok === false
              ? ['✗', trans.__('does not work'), 'error']
              : ['○', trans.__('not tried'), 'untried'];
        return (
          <li key={at} data-kind={kind}>
            <span className="jp-Bacalhau-badge-sign" role="img" aria-label={word}>
              {sign}
            </span>
            <div>
              <strong>{readable(step.Name ?? '')}</strong> {readableLines(step.Sentence ?? '')}
              {step.Hint && !props.withoutHints && (
                <p className="jp-Bacalhau-hint">{readableLines(step.Hint)}</p>
              )}
            </div>
          </li>
        );
      })}
    </ol>
  );
}
