import * as React from 'react';
import { EmptyNote, ErrorNote } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { IJobEntry } from '../store/state';

/** What the job published. */
export function Results(props: { entry: IJobEntry }): JSX.Element {
  const { api, trans } = useBacalhau();
  const { entry } = props;
  const { value, error } = useAsync(
    signal => api.results.published(entry.id, signal),
    `${entry.id} ${entry.changed}`
  );
  if (value === undefined) {
    return error ? <ErrorNote error={error} /> : <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  if (value.length === 0) {
    return <EmptyNote>{trans.__('This job published nothing.')}</EmptyNote>;
  }
  return (
    <ul className="jp-Bacalhau-results" aria-label={trans.__('Results')}>
      {value.map((result, index) => (
        <li key={index}>
          <span className="jp-Bacalhau-topic">{result.type}</span>
          <span className="jp-Bacalhau-place">{result.place}</span>
          {result.download && (
            <a href={result.download} download rel="noopener noreferrer">
              {trans.__('Download')}
            </a>
          )}
        </li>
      ))}
    </ul>
  );
}
