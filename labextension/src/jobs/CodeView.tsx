import { copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IJob } from '../api/types';
import { EmptyNote, FactList, IconButton } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { readableLines } from '../format/text';
import { codeOf, inputsOf } from './kit';

/** Characters on screen; copying takes all. */
const SHOWN = 200_000;

/** What the job runs, as the person wrote it, and its inputs by name. */
export function CodeView(props: { job: IJob }): JSX.Element {
  const { trans, host } = useBacalhau();
  const { job } = props;
  const { value } = useAsync(() => codeOf(job), `${job.ID} ${job.Version ?? 0}`);
  const inputs = React.useMemo(() => inputsOf(job), [job]);
  if (value === undefined) {
    return <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  const image: unknown = job.Tasks?.[0]?.Engine?.Params?.Image;
  const facts: [string, string][] = [
    [trans.__('Language'), value.language],
    [trans.__('Image'), typeof image === 'string' ? image : ''],
    [trans.__('Variables in'), value.variables.join(', ')],
    [trans.__('Variables out'), value.outputs.join(', ')],
    ...inputs.map(({ target, source }): [string, string] => [trans.__('Input %1', target), source])
  ];
  return (
    <div className="jp-Bacalhau-spec">
      <FactList facts={facts} />
      {value.text ? (
        <>
          <IconButton icon={copyIcon} label={trans.__('Copy')} onClick={() => host.copy(value.text)} />
          <pre tabIndex={0} aria-label={trans.__('Code')}>
            {readableLines(value.text.slice(0, SHOWN))}
            {value.text.length > SHOWN && '\n…'}
          </pre>
        </>
      ) : (
        <EmptyNote>{trans.__('This job runs its image as it is.')}</EmptyNote>
      )}
    </div>
  );
}
