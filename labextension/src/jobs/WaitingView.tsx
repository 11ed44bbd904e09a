import * as React from 'react';
import { IExplanation, INodeVerdict } from '../api/types';
import { useBacalhau } from '../components/context';
import { readable } from '../format/text';
import { shortId } from '../format/units';
import { summaryOf } from './reason';

/** Why a job waits, what would make it run, and what each node has against it. */
export function WaitingView({ explanation }: { explanation: IExplanation }): JSX.Element {
  const { trans } = useBacalhau();
  const headingId = React.useId();
  const nodes = explanation.Nodes ?? [];
  const remedies = explanation.Remedies ?? [];
  return (
    <div className="jp-Bacalhau-waiting" role="group" aria-label={trans.__('Why the job waits')}>
      <p className="jp-Bacalhau-message">{summaryOf(explanation)}</p>
      {remedies.length > 0 && (
        <>
          <p className="jp-Bacalhau-hint" id={headingId}>
            {trans.__('What would make it run:')}
          </p>
          <ul aria-labelledby={headingId}>
            {remedies.map((remedy, index) => (
              <li key={index}>{readable(String(remedy.Text ?? ''))}</li>
            ))}
          </ul>
        </>
      )}
      {nodes.length > 0 && (
        <details>
          <summary>{trans.__('Nodes (%1)', nodes.length)}</summary>
          <dl>
            {nodes.map((node, index) => (
              <React.Fragment key={index}>
                <dt title={readable(String(node.NodeID ?? ''))}>
                  {readable(shortId(String(node.NodeID ?? '')))}
                </dt>
                <dd>{sentence(node)}</dd>
              </React.Fragment>
            ))}
          </dl>
        </details>
      )}
    </div>
  );
}

function sentence(node: INodeVerdict): string {
  const parts = [node.Verdict, node.Reason].map(part => readable(String(part ?? '')));
  return parts.filter(Boolean).join(': ');
}
