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
  deleteJob: 'bacalhau:delete-job',
  showCode: 'bacalhau:show-code',
  switchCell: 'bacalhau:switch-cell',
  insertCode: 'bacalhau:insert-code',
  copyId: 'bacalhau:copy-job-id',
  openResult: 'bacalhau:open-result',
  runSpec: 'bacalhau:run-spec',
  runNotebook: 'bacalhau:run-notebook',
  jumpToCell: 'bacalhau:jump-to-cell',
  refreshNodes: 'bacalhau:refresh-nodes',
  approveNode: 'bacalhau:approve-node',
  rejectNode: 'bacalhau:reject-node',
  deleteNode: 'bacalhau:delete-node',
  addHost: 'bacalhau:add-host',
  refreshData: 'bacalhau:refresh-data',
  switchConnection: 'bacalhau:switch-connection',
  addConnection: 'bacalhau:add-connection',
  removeConnection: 'bacalhau:remove-connection',
  cleanResults: 'bacalhau:clean-results',
  cleanInputCache: 'bacalhau:clean-input-cache',
  cleanPackages: 'bacalhau:clean-packages',
  cleanImages: 'bacalhau:clean-images'
} as const;

/** An argument of a command as text; empty when it is none. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
