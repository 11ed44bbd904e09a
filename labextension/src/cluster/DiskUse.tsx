import * as React from 'react';
import { IDiskUsage } from '../api/types';
import { Meter } from '../components/Meter';
import { useBacalhau, useObservable } from '../components/context';
import { bytes } from '../format/units';
import { ImageList } from './ImageList';
import {
  AGES,
  ageLabel,
  cleanImages,
  cleanInputCache,
  cleanPackages,
  cleanResults,
  cleanUploads,
  disk,
  imagesText,
  inputsText,
  packagesText,
  resultsText,
  uploadsText,
  usageText
} from './cleanUp';

/** What the connected node keeps on its disk, and ways to have less of it. */
export function DiskUse(): JSX.Element {
  const app = useBacalhau();
  const { trans, sync } = app;
  const { results, inputs, uploads, packages, images } = disk(useObservable(sync.node));
  const [age, setAge] = React.useState(0);
  const [notice, setNotice] = React.useState('');
  return (
    <>
      {results && (
        <>
          <Usage label={trans.__('Results')} usage={results} many={count => resultsText(count, trans)} />
          <div className="jp-Bacalhau-buttons">
            <select
              className="jp-mod-styled"
              aria-label={trans.__('Which results to clean up')}
              value={age}
              onChange={event => setAge(Number(event.target.value))}
            >
              {AGES.map(known => (
                <option key={known} value={known}>
                  {ageLabel(known, trans)}
                </option>
              ))}
            </select>
            <button
              type="button"
              className="jp-Bacalhau-button"
              onClick={() => void cleanResults(app, age).then(setNotice)}
            >
              {trans.__('Clean up results…')}
            </button>
          </div>
        </>
      )}
      {inputs && (
        <>
          <Usage label={trans.__('Input cache')} usage={inputs} many={count => inputsText(count, trans)} />
          <div className="jp-Bacalhau-buttons">
            <button
              type="button"
              className="jp-Bacalhau-button"
              onClick={() => void cleanInputCache(app).then(setNotice)}
            >
              {trans.__('Empty the input cache…')}
            </button>
          </div>
        </>
      )}
      {uploads && (
        <>
          <Usage label={trans.__('Uploads')} usage={uploads} many={count => uploadsText(count, trans)} />
          <div className="jp-Bacalhau-buttons">
            <button
              type="button"
              className="jp-Bacalhau-button"
              onClick={() => void cleanUploads(app).then(setNotice)}
            >
              {trans.__('Remove uploads…')}
            </button>
          </div>
        </>
      )}
      {packages && (
        <>
          <Usage
            label={trans.__('Python packages')}
            usage={packages}
            many={count => packagesText(count, trans)}
          />
          <div className="jp-Bacalhau-buttons">
            <button
              type="button"
              className="jp-Bacalhau-button"
              onClick={() => void cleanPackages(app).then(setNotice)}
            >
              {trans.__('Remove packages…')}
            </button>
          </div>
        </>
      )}
      {images && (
        <>
          <Usage label={trans.__('Images')} usage={images} many={count => imagesText(count, trans)} />
          <ImageList usage={images} onDone={setNotice} />
          <div className="jp-Bacalhau-buttons">
            <button
              type="button"
              className="jp-Bacalhau-button"
              onClick={() => void cleanImages(app).then(setNotice)}
            >
              {trans.__('Remove images…')}
            </button>
          </div>
        </>
      )}
      <p role="status">{notice}</p>
    </>
  );
}

function Usage(props: { label: string; usage: IDiskUsage; many: (count: number) => string }): JSX.Element {
  const { label, usage, many } = props;
  const { trans } = useBacalhau();
  const kept = usageText(usage, many);
  const limit = usage.Limit ?? 0;
  if (limit > 0) {
    const text = trans.__('%1 of %2', kept, bytes(limit));
    return <Meter label={label} used={usage.Bytes ?? 0} total={limit} text={text} />;
  }
  return (
    <p>
      {label}: {kept}
    </p>
  );
}
