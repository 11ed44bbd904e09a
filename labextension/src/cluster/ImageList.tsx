import * as React from 'react';
import { IDiskUsage, IKeptImage } from '../api/types';
import { useBacalhau } from '../components/context';
import { bytes } from '../format/units';
import { imageName, removeImage } from './cleanUp';

/** The images that the connected node keeps, each with a way to remove it; they are asked for when it is opened. */
export function ImageList(props: { usage: IDiskUsage; onDone: (notice: string) => void }): JSX.Element {
  const app = useBacalhau();
  const { trans, api } = app;
  const { Bytes, Count } = props.usage;
  const [isOpen, setOpen] = React.useState(false);
  const [images, setImages] = React.useState<IKeptImage[]>([]);
  const [problem, setProblem] = React.useState('');
  React.useEffect(() => {
    let isGone = false;
    if (isOpen) {
      api.disk.images().then(
        known => {
          if (!isGone) {
            setImages(known);
            setProblem('');
          }
        },
        (reason: unknown) => {
          if (!isGone) {
            setProblem(String(reason));
          }
        }
      );
    }
    return () => {
      isGone = true;
    };
  }, [isOpen, api, Bytes, Count]);
  return (
    <details onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{trans.__('Which images')}</summary>
      {problem && <p>{problem}</p>}
      <ul className="jp-Bacalhau-kept">
        {images.map(image => {
          const holders = image.Holders?.length ?? 0;
          const name = imageName(image);
          return (
            <li key={image.ImageID} title={image.ImageID}>
              {name}, {bytes(image.Size ?? 0)}{' '}
              <button
                type="button"
                className="jp-Bacalhau-button"
                aria-label={trans.__('Remove %1…', name)}
                disabled={holders > 0}
                title={holders > 0 ? trans.__('A job uses it') : ''}
                onClick={() => void removeImage(app, image).then(props.onDone)}
              >
                {trans.__('Remove…')}
              </button>
            </li>
          );
        })}
      </ul>
    </details>
  );
}
