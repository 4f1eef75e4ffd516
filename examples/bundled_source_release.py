def release(*a): raise SystemExit("later")
