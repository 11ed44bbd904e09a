const SIGNS = new Map([
  ['Pending', '◌'],
  ['Queued', '◔'],
  ['Running', '▶'],
  ['Completed', '✓'],
  ['Failed', '✕'],
  ['Stopped', '■']
]);

/** The sign of a state. Records of notebooks may hold any text as a state. */
export function stateSign(state: string): string {
  return SIGNS.get(state) ?? '○';
}

/** The name of a state in the reader's language. */
export function stateLabel(trans: { __(text: string): string }, state: string): string {
  switch (state) {
    case 'Pending':
      return trans.__('Pending');
    case 'Queued':
      return trans.__('Queued');
    case 'Running':
      return trans.__('Running');
    case 'Completed':
      return trans.__('Completed');
    case 'Failed':
      return trans.__('Failed');
    case 'Stopped':
      return trans.__('Stopped');
    default:
      return trans.__('Unknown');
  }
}
