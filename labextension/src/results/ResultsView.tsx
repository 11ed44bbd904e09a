import * as React from 'react';
import { IFileRef, IListing } from '../api/files';
import { EmptyNote, ErrorNote } from '../components/basics';
import { hasFeature, useAsync, useBacalhau } from '../components/context';
import { shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { FileTree } from './FileTree';
import { Preview } from './Preview';

/** What a job published: the files where the node can list them, and the whole for download. */
export function ResultsView(props: { entry: IJobEntry; compact?: boolean; version?: number }): JSX.Element {
  const { api, sync, trans } = useBacalhau();
  const { entry, version = 0 } = props;
  const key = `${entry.id} ${entry.job.Version ?? 0} ${entry.state}`;
  const { value, error } = useAsync(async signal => {
    const published = await api.results.published(entry.id, signal, version);
    // An output of a cell may be on screen while nobody keeps the store up to date.
    const node = sync.node.get() ?? (await api.agent.node(signal).catch(() => null));
    const listed = hasFeature(node, 'result-files');
    return { published, listed, listings: listed ? await api.files.list(entry.id, signal, version) : [] };
  }, key);
  if (value === undefined) {
    return error ? <ErrorNote error={error} /> : <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  if (value.published.length === 0 && value.listings.length === 0) {
    return <EmptyNote>{trans.__('This job published nothing.')}</EmptyNote>;
  }
  return (
    <div className="jp-Bacalhau-resultsView">
      {!value.listed && (
        <div className="jp-Bacalhau-hint">
          {trans.__('This cluster gives out no single files; the download has all.')}
        </div>
      )}
      {value.listings.map(listing => (
        <Listing key={listing.ExecutionID} job={entry.id} listing={listing} />
      ))}
      {!(props.compact && value.listings.length > 0) && (
        <ul className="jp-Bacalhau-results" aria-label={trans.__('Results')}>
          {value.published.map((result, index) => (
            <li key={index}>
              {/* Beside the files themselves the address of their archive says nothing. */}
              {!(result.download && value.listings.length > 0) && (
                <>
                  <span className="jp-Bacalhau-topic">{result.type}</span>
                  <span className="jp-Bacalhau-place">{result.place}</span>
                </>
              )}
              {result.download && (
                <a href={result.download} download rel="noopener noreferrer">
                  {trans.__('Download all')}
                </a>
              )}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

function Listing(props: { job: string; listing: IListing }): JSX.Element {
  const { job, listing } = props;
  const { trans, host } = useBacalhau();
  const [shown, setShown] = React.useState<{ ref: IFileRef; size: number } | null>(null);
  const open = (ref: IFileRef, size: number): void => {
    if (host.openFile?.(ref, size) !== true) {
      setShown({ ref, size });
    }
  };
  const count = listing.Files?.length ?? 0;
  return (
    <section aria-label={trans.__('Result of execution %1', shortId(listing.ExecutionID))}>
      {listing.Problem && <ErrorNote error={listing.Problem} />}
      {!listing.Problem && count === 0 && <EmptyNote>{trans.__('This result is empty.')}</EmptyNote>}
      {count > 0 && <FileTree job={job} listing={listing} onOpen={open} />}
      {listing.Truncated && (
        <div className="jp-Bacalhau-hint">
          {trans.__('Only the first %1 entries are shown; the download has all.', count)}
        </div>
      )}
      {shown && (
        <Preview
          key={`${shown.ref.execution} ${shown.ref.path}`}
          file={shown.ref}
          size={shown.size}
          onClose={() => setShown(null)}
        />
      )}
    </section>
  );
}
