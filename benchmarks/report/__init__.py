"""From records to tables, plots and judged claims."""
