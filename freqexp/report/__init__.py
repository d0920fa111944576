"""From records to conclusions: tables, figures and one HTML page, from the files of runs alone.

`load` reads them, `compare` tests them, `budgets` weighs accuracy against cost, `tables`, `figures`
and `page` show it, `build` writes everything. No module here needs a model, Hydra or W&B.
"""
