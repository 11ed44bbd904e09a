/** Stands in for JupyterLab's components on our own page, which needs their icons only. */
export * from '@jupyterlab/ui-components/lib/icon/iconimports';
export { LabIcon } from '@jupyterlab/ui-components/lib/icon/labicon';
