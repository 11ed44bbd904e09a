/** Ids of all commands. `job` in their arguments names a job; without it the selected one is meant. */
export const CommandIDs = {
  openPanel: 'bacalhau:open-panel',
  showTab: 'bacalhau:show-tab',
  refresh: 'bacalhau:refresh',
  openJob: 'bacalhau:open-job',
  showDetails: 'bacalhau:show-details',
  showLogs: 'bacalhau:show-logs',
  showResults: 'bacalhau:show-results',
  stopJob: 'bacalhau:stop-job',
  rerunJob: 'bacalhau:rerun-job',
  insertCode: 'bacalhau:insert-code',
  copyId: 'bacalhau:copy-job-id'
} as const;

/** An argument of a command as text; empty when it is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
