import { copyIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IJob } from '../api/types';
import { IconButton } from '../components/basics';
import { useBacalhau } from '../components/context';
import { toYaml } from '../format/yaml';
import { shown, spec } from './spec';

/** The spec as YAML, in the form that `bacalhau job run` takes. */
export function SpecView(props: { job: IJob }): JSX.Element {
  const { trans, host } = useBacalhau();
  const plain = React.useMemo(() => spec(props.job), [props.job]);
  const text = React.useMemo(() => toYaml(shown(plain)), [plain]);
  return (
    <div className="jp-Bacalhau-spec">
      <IconButton icon={copyIcon} label={trans.__('Copy')} onClick={() => host.copy(toYaml(plain))} />
      <pre tabIndex={0} aria-label={trans.__('Spec')}>
        {text.length > SHOWN ? text.slice(0, SHOWN) + '\n…' : text}
      </pre>
    </div>
  );
}

/** Characters on screen; inline inputs can be megabytes. Copying takes all. */
const SHOWN = 200_000;
