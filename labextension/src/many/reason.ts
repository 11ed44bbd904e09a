import { readable } from '../format/text';
import { GroupLookup } from './ask';
import { IManyRecord } from './record';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** Why a card does not show the live state; empty when it does. */
export function reasonOf(record: IManyRecord, lookup: GroupLookup, trans: ITranslate): string {
  const ran = readable(record.endpoint);
  switch (lookup.kind) {
    case 'missing':
      return trans.__(
        'Shown as it was stored: the Bacalhau server extension is missing in this Jupyter server.'
      );
    case 'elsewhere':
      return lookup.cluster
        ? trans.__(
            'Shown as it was stored: the jobs ran on %1, Jupyter is connected to %2.',
            ran,
            readable(lookup.cluster)
          )
        : trans.__('Shown as it was stored: the jobs ran on %1, Jupyter is connected to no cluster.', ran);
    case 'gone':
      return trans.__('Shown as it was stored: the cluster does not know these jobs any longer.');
    case 'failed':
      return trans.__('Shown as it was stored: %1.', lookup.error.message.replace(/\.$/, ''));
    default:
      return record.newer
        ? trans.__('A newer release of bacalhau-jupyter wrote this; some of it may be missing here.')
        : '';
  }
}
