# Random-effects syntheses by metafor, for tests/estimation/test_synthesis.py: Rscript tests/oracles/make_metafor.R
library(metafor)

bcg <- escalc(measure = "RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)  # metafor's own example
cases <- list(
  bcg = list(y = as.numeric(bcg$yi), v = as.numeric(bcg$vi)),
  alike = list(y = c(.31, .28, .33, .30, .27, .34), v = c(.04, .05, .03, .06, .05, .04)),  # q < 1
  two = list(y = c(.2, .9), v = c(.04, .09)),
  three = list(y = c(.052, .071, -.013), v = c(.015, .022, .018)^2),
  four = list(y = c(-31, -22, -40, -28), v = c(3, 4, 6, 2.5)^2)
)
set.seed(22)
s <- round(runif(22, .015, .06), 4)
cases$homogeneous <- list(y = round(.05 + rnorm(22) * s * .8, 4), v = s^2)  # tau = 0
cases$provinces <- list(y = round(.05 + rnorm(22, sd = .03) + rnorm(22) * s, 4), v = s^2)

rows <- function(case, quantity, value) data.frame(case, quantity, number = seq_along(value), value = sprintf("%.17g", value))
one <- function(case, y, v) {
  tight <- list(threshold = 1e-14, maxiter = 10000)  # metafor stops at 1e-5 by default
  fit <- rma(y, v, method = "REML", test = "adhoc", control = tight)  # adhoc: Hartung and Knapp with max(1, q)
  spread <- confint(fit, control = list(tol = 1e-14, maxiter = 10000, tau2.max = 1e6))$random
  ahead <- predict(fit)
  shrunken <- blup(fit)
  found <- rbind(
    rows(case, "y", y), rows(case, "v", v), rows(case, "estimate", fit$beta[1]), rows(case, "std_error", fit$se),
    rows(case, "statistic", fit$zval), rows(case, "p_value", fit$pval), rows(case, "conf_low", fit$ci.lb),
    rows(case, "conf_high", fit$ci.ub), rows(case, "factor", fit$s2w), rows(case, "tau2", fit$tau2),
    rows(case, "tau2_low", spread["tau^2", "ci.lb"]), rows(case, "tau2_high", spread["tau^2", "ci.ub"]),
    rows(case, "i2", fit$I2 / 100), rows(case, "i2_low", spread["I^2(%)", "ci.lb"] / 100),
    rows(case, "i2_high", spread["I^2(%)", "ci.ub"] / 100), rows(case, "q", fit$QE), rows(case, "q_p", fit$QEp),
    rows(case, "predict_low_k1", ahead$pi.lb), rows(case, "predict_high_k1", ahead$pi.ub),  # t with k - 1 degrees
    rows(case, "weight", weights(fit) / 100), rows(case, "shrunken", shrunken$pred),
    rows(case, "shrunken_error", shrunken$se), rows(case, "shrunken_low", shrunken$pi.lb),
    rows(case, "shrunken_high", shrunken$pi.ub)
  )
  if (length(y) > 2) {
    left <- lapply(seq_along(y), function(i) rma(y[-i], v[-i], method = "REML", test = "adhoc", control = tight))
    pick <- function(name, f) rows(case, paste0("without_", name), sapply(left, f))
    found <- rbind(found, pick("estimate", function(m) m$beta[1]), pick("std_error", function(m) m$se),
      pick("conf_low", function(m) m$ci.lb), pick("conf_high", function(m) m$ci.ub), pick("tau2", function(m) m$tau2),
      pick("i2", function(m) m$I2 / 100))
  }
  found
}
table <- do.call(rbind, lapply(names(cases), function(case) one(case, cases[[case]]$y, cases[[case]]$v)))
table$source <- paste0("metafor ", packageVersion("metafor"), ", R ", getRversion(), ", ", Sys.Date())
write.csv(table, "tests/oracles/metafor.csv", row.names = FALSE, quote = 5)
